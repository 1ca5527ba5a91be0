import io

import jax
import numpy as np
import pytest
from PIL import Image

from facerep_jax import errors, sharding
from facerep_jax.data import batches
from facerep_jax.training import device_frames, loop, preview, setup
from tests import tiny
from tests.tracks import helpers


def noise(seed, size=32, width=None):
  rng = np.random.default_rng(seed)
  pixels = rng.integers(0, 256, (size, width or size, 3), dtype=np.uint8)
  buffer = io.BytesIO()
  Image.fromarray(pixels).save(buffer, "PNG", compress_level=0)
  return buffer.getvalue()


@pytest.fixture
def source(tmp_path):
  records = [helpers.track(i) for i in range(6)]
  for i, track in enumerate(records):
    track.frames = [noise(4 * i + t) for t in range(4)]
  helpers.write_dataset(tmp_path / "set", records)
  return helpers.source_of(tmp_path / "set", on_bad_record="skip")


def resized(samples, batch_size=4, num_batches=3):
  """Batches of the host, and the same made of whole frames."""
  mesh = sharding.make_mesh(jax.devices()[:2])
  step = device_frames.make(helpers.SIZE, mesh)
  for batch in batches.train_batches(
    samples, batch_size=batch_size, num_batches=num_batches
  ):
    batch.pop("record")
    yield np.asarray(step(sharding.put_batch(batch, mesh))["frames"])


@pytest.mark.parametrize(
  ("options", "most"),
  [
    ({}, 1),
    ({"use_mirror": True, "sample_by": "recordings", "num_frames": 3}, 1),
    # A level more or less before the colours change moves some by more.
    ({"use_mirror": True, "colour_jitter": 0.4}, 4),
  ],
)
def test_samples_are_those_of_the_host(source, options, most):
  host = helpers.samples_of(source, seed=3, **options)
  device = helpers.samples_of(source, seed=3, resize_on="device", **options)
  assert host[0].keys() == {"frames", "record"}
  assert device[0]["frames"].shape[-3:] == (32, 32, 3)
  want = batches.train_batches(host, batch_size=4, num_batches=3)
  for got, batch in zip(resized(device), want, strict=True):
    assert got.dtype == np.uint8 and got.shape == batch["frames"].shape
    difference = np.abs(got.astype(int) - batch["frames"])
    assert difference.max() <= most
    assert difference.mean() < 0.1


def test_spec_says_what_a_sample_holds(source):
  options = {"use_mirror": True, "colour_jitter": 0.1}
  samples = helpers.samples_of(source, 3, resize_on="device", **options)
  sample = samples[0]
  assert sample.pop("record") in range(6)
  spec = samples.spec()
  assert {k: (x.shape, x.dtype) for k, x in sample.items()} == spec
  assert spec["is_mirrored"] == ((), bool)
  assert spec["boxes"] == ((3, 7), np.float32)


@pytest.mark.parametrize("on_bad_record", ["error", "skip"])
def test_frames_of_another_size_end_the_run(tmp_path, on_bad_record):
  records = [helpers.track(i, 2) for i in range(3)]
  records[2].frames[1] = noise(0, 32, 40)
  helpers.write_dataset(tmp_path, records)
  samples = helpers.samples_of(
    helpers.source_of(tmp_path),
    sample_by="chunk",
    is_shuffled=False,
    resize_on="device",
    on_bad_record=on_bad_record,
  )
  samples[1]
  with pytest.raises(errors.InputError, match="record 2: frame 1: has 40 x 32"):
    samples[2]


def test_size_is_that_of_the_first_frame_that_can_be_used(tmp_path):
  records = [helpers.track(i, 2) for i in range(3)]
  records[0].frames = [b"no image"] * 2
  helpers.write_dataset(tmp_path, records)
  rule = {"sample_by": "chunk", "is_shuffled": False, "resize_on": "device"}
  source = helpers.source_of(tmp_path)
  samples = helpers.samples_of(source, on_bad_record="skip", **rule)
  assert samples[0]["record"] == 1 and source.num_bad == 1
  with pytest.raises(errors.InputError, match="record 0: frame 0: not an"):
    helpers.samples_of(source, **rule).spec()


def test_run_trains_evaluates_and_draws(tmp_path):
  data = tiny.write_tracks(tmp_path / "tracks")
  runs = {}
  for where in ("host", "device"):
    config = tiny.config(data)
    config.data.resize_on = where
    config.steps, config.every.log, config.every.pictures = 2, 1, 1
    place = tmp_path / where
    with jax.numpy_dtype_promotion("standard"):  # As optax needs it.
      run, state = setup.prepare(config, place, data, jax.devices()[:2])
      runs[where] = np.asarray(next(loop.device_batches(run, 0))["frames"])
      loop.train(run, state)
    run.checkpoints.close()
    assert (place / preview.PICTURE).is_file()
    assert list((place / "pictures").glob("step_*.png"))
  difference = np.abs(runs["host"].astype(int) - runs["device"])
  assert difference.max() <= 1 and difference.mean() < 0.1
