import numpy as np
import pytest

from facerep_jax import errors
from facerep_jax.data import whole_tracks
from facerep_jax.runs import configuration, stages
from facerep_jax.tracks import tfrecord, track_source
from facerep_jax.training import stage_inputs
from tests import tiny, tiny_face


def test_moments_are_those_of_the_codes():
  codes = np.random.default_rng(0).normal(3, [1.0, 2.0, 4.0], (500, 3))
  found = stage_inputs._moments(codes.astype(np.float32))
  # Float32 sums of 500 numbers.
  np.testing.assert_allclose(found["mean"], codes.mean(axis=0), rtol=1e-5)
  np.testing.assert_allclose(found["deviation"], codes.std(axis=0), rtol=1e-5)


def test_what_is_rare_does_not_become_huge():
  codes = np.random.default_rng(0).normal(size=(1000, 4)).astype(np.float32)
  codes[:, 2] = 0
  codes[:, 3] = 0
  codes[7, 3] = 1
  found = stage_inputs._moments(codes)
  assert found["deviation"].dtype == np.float32
  scaled = (codes - found["mean"]) / found["deviation"]
  # A tenth of the mean deviation of two ordinary numbers and two small ones,
  # where the rare number's own would make it 32.
  assert 15 < scaled[7, 3] < 25
  np.testing.assert_array_equal(scaled[:, 2], 0)


def test_codes_that_never_vary_stay_finite():
  found = stage_inputs._moments(np.ones((10, 3), np.float32))
  np.testing.assert_array_equal(found["mean"], 1)
  assert (found["deviation"] > 0).all()


class Tracks:
  """Five records, some of which cannot be used."""

  paths = ("tracks/train",)

  def __init__(self, bad):
    self.bad = bad

  def __len__(self):
    return 5


class Whole:
  """Frames that tell the number of their record."""

  def __init__(self, source, rule):
    self._bad = source.bad

  def __getitem__(self, record):
    frames = np.full((2, 1, 1, 3), record, np.uint8)
    return None if record in self._bad else frames


def test_statistics_leave_out_bad_records(monkeypatch):
  monkeypatch.setattr(whole_tracks, "WholeTracks", Whole)
  found = stage_inputs._frames(Tracks({0, 3}), None, 128)
  assert [(k, x[0, 0, 0, 0]) for k, x in found] == [(1, 1), (2, 2), (4, 4)]
  with pytest.raises(tfrecord.BadRecordError, match="not one of 5 records"):
    list(stage_inputs._frames(Tracks(set(range(5))), None, 128))


def test_what_does_not_fit_is_named_as_the_user_gives_it(tmp_path):
  data = tiny.write_tracks(tmp_path)
  _, stage = stages.split(
    tiny_face.staged(data, diffusion__data__min_frames=99)
  )
  _, rule = configuration.sampling(stage.config, num_frames=2, size_px=64)
  source = track_source.TrackSource(data, "train")
  with pytest.raises(errors.InputError, match=r"config\.diffusion\.data\.min"):
    list(stage_inputs._frames(source, rule, 128))
