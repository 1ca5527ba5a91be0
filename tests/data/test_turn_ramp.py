import dataclasses

import numpy as np
import pytest

from facerep_jax import errors
from facerep_jax.data import samples, turn_ramp
from facerep_jax.tracks import track_source
from tests import tiny

RAMP = turn_ramp.TurnRamp(first_deg=20.0, begin_step=10, end_step=30)
RNG = np.random.default_rng


@pytest.mark.parametrize(
  ("step", "share"), [(0, 0), (10, 0), (15, 0.25), (29, 0.95), (30, 1), (99, 1)]
)
def test_the_ramp_grows_evenly(step, share):
  assert RAMP.share(step) == pytest.approx(share)
  assert turn_ramp.TurnRamp().share(step) == 1


def test_frames_within_the_limit_are_allowed():
  yaw = np.radians([0, -19, 21, 50, -60, 10])
  pitch = np.radians([0, 5, 0, 0, 0, -25])
  labels = {"yaw_rad": yaw, "pitch_rad": pitch}
  first = RAMP.allowed(labels, 6, 0, RNG(0))
  np.testing.assert_array_equal(first, [1, 1, 0, 0, 0, 0])
  # Half way the limit is 20 + 35 degrees.
  later = RAMP.allowed(labels, 6, 20, RNG(0))
  np.testing.assert_array_equal(later, [1, 1, 1, 1, 0, 1])
  assert RAMP.allowed(labels, 6, 30, RNG(0)).all()


def test_of_tracks_that_know_what_is_frontal_a_share_of_the_rest_is_allowed():
  labels = {"frontal": np.repeat([1, 0], 2000)}
  allowed = RAMP.allowed(labels, 4000, 15, RNG(0))
  assert allowed[:2000].all()
  # 2000 draws of a chance of a quarter: five deviations are 0.05.
  assert allowed[2000:].mean() == pytest.approx(0.25, abs=0.05)
  assert not RAMP.allowed(labels, 4000, 0, RNG(0))[2000:].any()


def test_tracks_that_know_nothing_are_taken_whole():
  assert RAMP.allowed({}, 5, 0, RNG(0)).all()


@pytest.mark.parametrize(
  "changes",
  [{"first_deg": 90.0}, {"first_deg": -1.0}, {"begin_step": 31}],
)
def test_settings_that_cannot_be_are_refused(changes):
  with pytest.raises(errors.InputError, match="config.data.turn_ramp"):
    dataclasses.replace(RAMP, **changes)


@pytest.fixture(scope="module")
def source(tmp_path_factory):
  return track_source.TrackSource(
    tiny.write_tracks(tmp_path_factory.mktemp("tracks")), "train"
  )


def with_yaw(source, monkeypatch, degrees):
  """Gives the frames of each record yaws, in turn."""
  read = source.read

  def turned(record, labels=(), **rest):
    track = read(record, labels=(), **rest)
    if "yaw_rad" in labels:
      yaw = np.radians(np.resize(degrees, len(track.frames)))
      track = dataclasses.replace(track, labels={"yaw_rad": yaw})
    return track

  monkeypatch.setattr(source, "read", turned)


def sampling(**changes):
  return samples.Sampling(num_frames=2, size_px=32, **changes)


def test_samples_follow_the_steps(source, monkeypatch):
  """Only frames that the ramp allows are read, and all of them in the end."""
  with_yaw(source, monkeypatch, [0.0, 5.0, 25.0])
  picked = []
  cut = samples.Samples._cut

  def spy(self, record, files, picks, squares, out):
    picked.append(set(int(p) % 3 for p in picks))
    return cut(self, record, files, picks, squares, out)

  monkeypatch.setattr(samples.Samples, "_cut", spy)
  drawn = samples.Samples(source, sampling(ramp=RAMP, batch_size=4))
  for sample in range(40):  # Steps 0 to 9.
    drawn[sample]
  assert set().union(*picked) == {0, 1}
  picked.clear()
  for sample in range(120, 140):
    drawn[sample]
  assert 2 in set().union(*picked)


def test_without_a_ramp_samples_are_those_of_before(source):
  plain = samples.Samples(source, sampling())
  done = samples.Samples(source, sampling(ramp=RAMP, batch_size=1))
  for sample in (30, 31, 50):
    np.testing.assert_array_equal(
      plain[sample]["frames"], done[sample]["frames"]
    )


def test_tracks_without_frontal_frames_are_passed_over(source, monkeypatch):
  with_yaw(source, monkeypatch, [70.0])
  drawn = samples.Samples(source, sampling(ramp=RAMP, batch_size=1))
  with pytest.raises(errors.InputError, match="turn by at most 20 degrees"):
    drawn[0]
  assert drawn[30]["frames"].shape == (2, 32, 32, 3)


def test_the_first_frame_is_frontal_and_the_others_follow_the_ramp(
  source, monkeypatch
):
  with_yaw(source, monkeypatch, [0.0, 30.0, 80.0])
  ramp = dataclasses.replace(RAMP, frontal_first=True)
  picked = []
  cut = samples.Samples._cut

  def spy(self, record, files, picks, squares, out):
    picked.append([int(p) % 3 for p in picks])
    return cut(self, record, files, picks, squares, out)

  monkeypatch.setattr(samples.Samples, "_cut", spy)
  drawn = samples.Samples(source, sampling(ramp=ramp, batch_size=1))
  for sample in (*range(10), *range(200, 240)):
    drawn[sample]
  early, late = np.array(picked[:10]), np.array(picked[10:])
  assert (early == 0).all()
  assert (late[:, 0] == 0).all() and set(late[:, 1]) == {0, 1, 2}
  assert ramp.is_on(10_000) and not RAMP.is_on(30) and RAMP.is_on(29)
