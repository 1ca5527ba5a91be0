import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from facerep_jax import code_cache, errors
from facerep_jax.data import samples, tracks
from tests import tiny


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
  return tracks.TrackSource(folder, "train")


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
  times_two = {"factor": jnp.float32(4.0)}
  again = code_cache.make(tmp_path, Means, times_two, source, rule())
  np.testing.assert_array_equal(first, again)
  (tmp_path / "codes.npy").unlink()
  anew = code_cache.make(tmp_path, Means, times_two, source, rule())
  np.testing.assert_array_equal(2 * first, anew)
  larger = samples.Sampling(num_frames=3, size_px=24, is_jittered=False)
  other = code_cache.make(tmp_path, Means, FROZEN, source, larger)
  assert np.abs(other - first).max() > 0
  assert not list(tmp_path.glob("*.tmp*"))


def test_bad_records_are_zeros_where_they_may_be_skipped(
  source, tmp_path, monkeypatch
):
  broken = tracks.TrackSource(
    source.paths[0].rsplit("/", 1)[0], "train", on_bad_record="skip"
  )
  read = broken.read

  def fail(record, **kwargs):
    track = read(record, **kwargs)
    return (
      dataclasses.replace(track, frames=[b"no image"] * 6)
      if record == 2
      else track
    )

  monkeypatch.setattr(broken, "read", fail)
  codes = code_cache.make(
    tmp_path, Means, FROZEN, broken, rule(on_bad_record="skip")
  )
  assert not codes[12:18].any() and codes[:12].any() and codes[18:].any()
  assert broken.num_bad == 1
  (tmp_path / "other").mkdir()
  with pytest.raises(errors.InputError, match="frame 0"):
    code_cache.make(tmp_path / "other", Means, FROZEN, broken, rule())


@pytest.mark.parametrize("change", [{"is_jittered": True}, {"colour": 0.2}])
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
