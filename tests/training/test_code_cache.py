import dataclasses
import os

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from facerep_jax import errors
from facerep_jax.data import samples
from facerep_jax.tracks import track_source
from facerep_jax.training import code_cache
from tests import tiny
from tests.tracks import helpers


class Means:
  """A system whose code is the mean colour of the left half."""

  @staticmethod
  def encode(frozen, frames):
    left = frames[:, :, : frames.shape[2] // 2].astype(jnp.float32)
    return jnp.mean(left, axis=(1, 2)) * frozen["factor"]


FROZEN = {"factor": jnp.float32(2.0)}


def rule(**changes):
  return samples.Sampling(
    num_frames=3,
    size_px=16,
    sample_by="chunk",
    is_jittered=False,
    use_mirror=True,
    seed=5,
    **changes,
  )


@pytest.fixture(scope="module")
def source(tmp_path_factory):
  folder = tiny.write_tracks(tmp_path_factory.mktemp("tracks"))
  return track_source.TrackSource(folder, "train")


@pytest.mark.parametrize("with_replacement", [False, True])
def test_samples_are_the_codes_of_the_frames_that_would_come(
  source, tmp_path, with_replacement
):
  sampling = rule(with_replacement=with_replacement)
  codes = code_cache.make(tmp_path, Means, FROZEN, source, sampling)
  assert codes.shape == (36, 2, 3)
  frames = samples.Samples(source, sampling)
  cached = code_cache.CodeSamples(source, sampling, codes)
  assert cached.spec() == {"codes": ((3, 3), np.dtype(np.float32))}
  sides = set()
  for i in range(24):
    plain, found = frames[i], cached[i]
    assert plain["record"] == found["record"]
    want = Means.encode(FROZEN, jnp.asarray(plain["frames"]))
    np.testing.assert_array_equal(found["codes"], want)
    other = Means.encode(FROZEN, jnp.asarray(plain["frames"][:, :, ::-1]))
    sides.add(bool(np.abs(found["codes"] - other).max() > 1))
  assert sides == {True}


def test_codes_are_computed_once_for_the_same_frames(source, tmp_path):
  first = np.array(code_cache.make(tmp_path, Means, FROZEN, source, rule()))
  before = (tmp_path / "codes.npy").stat()
  again = code_cache.make(tmp_path, Means, FROZEN, source, rule())
  np.testing.assert_array_equal(first, again)
  assert (tmp_path / "codes.npy").stat() == before
  times_two = {"factor": jnp.float32(4.0)}
  anew = code_cache.make(tmp_path, Means, times_two, source, rule())
  np.testing.assert_array_equal(2 * first, anew)
  larger = samples.Sampling(num_frames=3, size_px=24, is_jittered=False)
  other = code_cache.make(tmp_path, Means, FROZEN, source, larger)
  assert np.abs(other - first).max() > 0
  assert not list(tmp_path.glob("*.tmp*"))


class Shifted(Means):
  """As a network: what is black has a code like any other."""

  @staticmethod
  def encode(frozen, frames):
    return Means.encode(frozen, frames) + 7


def break_record(source, number, monkeypatch):
  """Lets a record hold no images."""
  read = source.read

  def fail(record, **kwargs):
    track = read(record, **kwargs)
    return (
      dataclasses.replace(track, frames=[b"no image"] * 6)
      if record in number
      else track
    )

  monkeypatch.setattr(source, "read", fail)
  monkeypatch.setattr(
    source,
    "read_frames",
    lambda record, picks: [fail(record).frames[i] for i in picks],
  )


@pytest.fixture
def broken(source, monkeypatch):
  """Tracks whose third record cannot be used."""
  folder = source.paths[0].rsplit("/", 1)[0]
  out = track_source.TrackSource(folder, "train", on_bad_record="skip")
  break_record(out, {2}, monkeypatch)
  return out


def test_bad_records_are_replaced_where_they_may_be_skipped(broken, tmp_path):
  sampling = rule(on_bad_record="skip")
  codes = code_cache.make(tmp_path, Shifted, FROZEN, broken, sampling)
  assert np.isnan(codes[12:18]).all()
  assert np.isfinite(codes[:12]).all() and np.isfinite(codes[18:]).all()
  assert broken.num_bad == 1
  frames = samples.Samples(broken, sampling)
  cached = code_cache.CodeSamples(broken, sampling, codes)
  for i in range(24):
    plain, found = frames[i], cached[i]
    assert plain["record"] == found["record"] != 2
    want = Shifted.encode(FROZEN, jnp.asarray(plain["frames"]))
    np.testing.assert_array_equal(found["codes"], want)


def test_bad_records_end_a_run_that_may_not_skip_them(broken, tmp_path):
  with pytest.raises(errors.InputError, match="frame 0"):
    code_cache.make(tmp_path, Shifted, FROZEN, broken, rule())
  codes = code_cache.make(
    tmp_path, Shifted, FROZEN, broken, rule(on_bad_record="skip")
  )
  # The codes are there now; the rule has changed since.
  cached = code_cache.CodeSamples(broken, rule(), codes)
  with pytest.raises(errors.InputError, match="record 2: could not be used"):
    [cached[i] for i in range(12)]


def test_no_codes_of_no_usable_record(source, tmp_path, monkeypatch):
  folder = source.paths[0].rsplit("/", 1)[0]
  out = track_source.TrackSource(folder, "train", on_bad_record="skip")
  break_record(out, set(range(6)), monkeypatch)
  with pytest.raises(errors.InputError, match="not one of 6 records can be"):
    code_cache.make(tmp_path, Shifted, FROZEN, out, rule(on_bad_record="skip"))
  assert not list(tmp_path.iterdir())


def _zero(folder):
  path = folder / "codes.npy"
  head = path.read_bytes()[:128]
  path.write_bytes(head + bytes(path.stat().st_size - 128))


DAMAGES = {
  "one bit": lambda folder: helpers.flip(folder / "codes.npy", 400),
  "header": lambda folder: helpers.flip(folder / "codes.npy", 70),
  "zeros": _zero,
  "cut": lambda folder: os.truncate(folder / "codes.npy", 300),
  "empty": lambda folder: os.truncate(folder / "codes.npy", 0),
  "note is no JSON": lambda folder: (folder / "codes.json").write_text("{"),
  "note is a list": lambda folder: (folder / "codes.json").write_text("[]"),
  "note is no text": lambda folder: (folder / "codes.json").write_bytes(
    b"\xff\xfe{}"
  ),
  "no note": lambda folder: (folder / "codes.json").unlink(),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_codes_are_computed_again(source, tmp_path, caplog, damage):
  first = np.array(code_cache.make(tmp_path, Means, FROZEN, source, rule()))
  DAMAGES[damage](tmp_path)
  again = code_cache.make(tmp_path, Means, FROZEN, source, rule())
  np.testing.assert_array_equal(first, again)
  assert damage == "no note" or "damaged" in caplog.text
  assert set(os.listdir(tmp_path)) == {"codes.npy", "codes.json"}


@pytest.mark.parametrize(
  "change", [{"is_jittered": True}, {"colour_jitter": 0.2}]
)
def test_frames_that_change_have_no_code(source, tmp_path, change):
  sampling = samples.Sampling(
    **{"num_frames": 3, "size_px": 16, "is_jittered": False} | change
  )
  with pytest.raises(errors.InputError, match="cache_codes=True needs frames"):
    code_cache.make(tmp_path, Means, FROZEN, source, sampling)


def test_devices_do_not_matter(source, tmp_path):
  assert len(jax.local_devices()) == 8
  codes = code_cache.make(tmp_path, Means, FROZEN, source, rule())
  whole = samples.WholeTracks(source, rule())
  for record in (0, 5):
    want = Means.encode(FROZEN, jnp.asarray(whole[record]))
    start = 6 * record
    # Means over an eighth of the rows at a time.
    np.testing.assert_allclose(codes[start : start + 6, 0], want, rtol=1e-6)
