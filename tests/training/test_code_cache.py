import concurrent.futures
import dataclasses
import itertools
import os
import shutil
import threading

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from facerep_jax import distributed, errors
from facerep_jax.data import samples, whole_tracks
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
  whole = whole_tracks.WholeTracks(source, rule())
  for record in (0, 5):
    want = Means.encode(FROZEN, jnp.asarray(whole[record]))
    start = 6 * record
    # Means over an eighth of the rows at a time.
    np.testing.assert_allclose(codes[start : start + 6, 0], want, rtol=1e-6)


class KilledError(Exception):
  """Stands for the death of a process."""


def by_processes(monkeypatch, count, make):
  """Calls `make` as several processes would, which threads stand for.

  Returns:
    Of each, what it returned or the error that it raised. One that is killed
    ends the waiting of the others.
  """
  this, meeting, votes = threading.local(), threading.Barrier(count), {}

  def any_says(place, answer):
    votes[place, this.number] = answer
    meeting.wait(60)
    return any(votes[place, i] for i in range(count))

  def run(number):
    this.number = number
    try:
      return make()
    except KilledError as error:
      meeting.abort()
      return error
    except (errors.InputError, threading.BrokenBarrierError) as error:
      return error

  with monkeypatch.context() as patch:
    patch.setattr(jax, "process_index", lambda: this.number)
    patch.setattr(jax, "process_count", lambda: count)
    patch.setattr(distributed, "any_says", any_says)
    patch.setattr(distributed, "wait", lambda place: meeting.wait(60))
    with concurrent.futures.ThreadPoolExecutor(count) as pool:
      return list(pool.map(run, range(count)))


@pytest.fixture
def written(monkeypatch):
  """Lists the records of each file of codes that is written."""
  out, write = [], code_cache._write

  def write_and_note(*arguments):
    out.append(list(arguments[-1]))
    write(*arguments)

  monkeypatch.setattr(code_cache, "_write", write_and_note)
  return out


@pytest.mark.parametrize("count", [2, 8])
def test_several_processes_write_what_one_does(
  source, tmp_path, monkeypatch, written, count
):
  alone, folder = tmp_path / "alone", tmp_path / "together"
  want = code_cache.make(alone, Means, FROZEN, source, rule())
  written.clear()

  def make():
    return code_cache.make(folder, Means, FROZEN, source, rule())

  for _ in range(2):  # The second time, the codes are there.
    for codes in by_processes(monkeypatch, count, make):
      np.testing.assert_array_equal(codes, want)
  # Of eight processes, two have none of the six records.
  assert len(written) == count
  assert sorted(itertools.chain(*written)) == list(range(6))
  for name in ("codes.npy", "codes.json"):
    assert (folder / name).read_bytes() == (alone / name).read_bytes()
  assert set(os.listdir(folder)) == {"codes.npy", "codes.json"}


def test_several_processes_skip_bad_records_as_one_does(
  broken, tmp_path, monkeypatch
):
  sampling = rule(on_bad_record="skip")
  want = code_cache.make(tmp_path / "1", Shifted, FROZEN, broken, sampling)

  def make():
    return code_cache.make(tmp_path / "3", Shifted, FROZEN, broken, sampling)

  for codes in by_processes(monkeypatch, 3, make):
    np.testing.assert_array_equal(codes, want)
  break_record(broken, {2, 3}, monkeypatch)
  shutil.rmtree(tmp_path / "3")
  for codes in by_processes(monkeypatch, 3, make):
    assert np.isnan(codes[12:24]).all() and np.isfinite(codes[24:]).all()
  break_record(broken, set(range(6)), monkeypatch)
  shutil.rmtree(tmp_path / "3")
  for error in by_processes(monkeypatch, 3, make):
    assert "not one of 6 records can be" in str(error)
  assert not list((tmp_path / "3").iterdir())


@pytest.mark.parametrize("is_damaged", [False, True])
def test_what_a_dead_process_left_is_checked(
  source, tmp_path, monkeypatch, written, is_damaged
):
  want = code_cache.make(tmp_path / "alone", Means, FROZEN, source, rule())
  written.clear()
  folder = tmp_path / "two"
  is_whole = threading.Event()

  def make():
    return code_cache.make(folder, Means, FROZEN, source, rule())

  def make_with_one_that_dies():
    if jax.process_index():
      return make()
    distributed.any_says("codes", True)
    assert is_whole.wait(60)
    raise KilledError

  keep = code_cache._keep

  def keep_and_tell(*arguments):
    keep(*arguments)
    is_whole.set()

  with monkeypatch.context() as patch:
    patch.setattr(code_cache, "_keep", keep_and_tell)
    found = by_processes(monkeypatch, 2, make_with_one_that_dies)
  kinds = [type(x) for x in found]
  assert kinds == [KilledError, threading.BrokenBarrierError]
  part = folder / "codes.part-00001-of-00002.npy"
  assert written == [[3, 4, 5]] and part.exists()
  if is_damaged:
    helpers.flip(part, 400)
  for codes in by_processes(monkeypatch, 2, make):
    np.testing.assert_array_equal(codes, want)
  assert sorted(written[1:]) == [[0, 1, 2]] + [[3, 4, 5]] * is_damaged
  assert set(os.listdir(folder)) == {"codes.npy", "codes.json"}


def test_processes_get_about_as_many_frames():
  def parts(counts, count):
    found = code_cache.shares(np.array(counts), count)
    return [list(x) for x in found]

  assert parts([6] * 6, 4) == [[0, 1], [2], [3, 4], [5]]
  assert parts([9, 1, 1, 1], 2) == [[0], [1, 2, 3]]
  assert parts([1, 1, 1, 9], 2) == [[0, 1, 2, 3], []]
  assert parts([5], 3) == [[0], [], []]
