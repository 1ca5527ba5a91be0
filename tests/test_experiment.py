import json
import os
import re
import shutil
import signal

import jax
import numpy as np
import pytest

import facerep_jax
from facerep_jax import (
  configuration,
  errors,
  experiment,
  metrics,
  run_lock,
  stages,
  train,
)
from facerep_jax import run as setup
from tests import tiny, tiny_face

ONE = jax.devices()[:1]  # Eight would only compile longer.
LOOK = experiment._look


@pytest.fixture(scope="module")
def data(tmp_path_factory):
  return tiny.write_tracks(tmp_path_factory.mktemp("tracks"))


@pytest.fixture(autouse=True)
def _optax_mixes_types():
  with jax.numpy_dtype_promotion("standard"):
    yield


@pytest.fixture
def config(data):
  return tiny_face.staged(data)


@pytest.fixture(autouse=True)
def _no_looks(monkeypatch):
  """Looks at what was learned take long; the module's own run has them."""
  monkeypatch.setattr(experiment.examples, "write", lambda workdir: None)
  monkeypatch.setattr(experiment, "_look", lambda *args: None)


def readings(place):
  return [
    {k: v for k, v in line.items() if k not in metrics.HOST_READINGS}
    for line in metrics.read(place)
  ]


@pytest.fixture(scope="module")
def whole(data, tmp_path_factory):
  """A run of both stages."""
  folder = tmp_path_factory.mktemp("whole")
  config = tiny_face.staged(data)
  with jax.numpy_dtype_promotion("standard"):
    experiment.run(config, folder, ONE)
  return folder


def test_both_stages_leave_what_belongs_to_them(whole, data):
  for name in ("autoencoder", "diffusion"):
    place = whole / name
    assert json.loads((place / "done.json").read_text()) == {"step": 6}
    assert (place / "summary.json").is_file()
    assert list((place / "pictures").glob("*.png"))
    assert readings(place)[-1]["step"] == 6
  assert len(list((whole / "examples").glob("*.png"))) == 16
  embedded = np.load(whole / "examples.npz")
  assert embedded["fer"].shape == (16, 32)
  kinds = ("views", "frontal", "relight", "neutral", "transfer", "maps")
  for kind in kinds:
    assert (whole / "faces" / f"{kind}-001.png").is_file(), kind
  assert len(list((whole / "faces").rglob("*.gif"))) == 32
  model = facerep_jax.load(whole)
  images = np.random.default_rng(0).integers(0, 255, (3, 64, 64, 3), "u1")
  features = model.embed(images)
  assert {"identity", "expression", "fer", "verification"} <= set(features)
  first = facerep_jax.load(whole / "autoencoder")
  assert set(first.embed(images)) == {
    *("albedo_code", "depth_code", "view", "light")
  }
  # Stage 2 holds the weights of stage 1, and adds to what it says.
  codes = first.embed(images)
  for name, value in codes.items():
    np.testing.assert_allclose(features[name], value, rtol=1e-4, atol=1e-5)
  np.testing.assert_allclose(
    features["identity"] + features["expression"],
    np.concatenate([codes["albedo_code"], codes["depth_code"]], axis=1),
    rtol=1e-4,
    atol=1e-4,
  )


def test_features_are_the_same_alone_and_in_any_batch(whole):
  model = facerep_jax.load(whole)
  images = np.random.default_rng(1).integers(0, 255, (9, 64, 64, 3), "u1")
  batch = model.embed(images)
  again = facerep_jax.load(whole).embed(images)
  alone = [model.embed(image[None]) for image in images]
  for name, value in batch.items():
    np.testing.assert_array_equal(value, again[name])
    np.testing.assert_array_equal(
      value, np.concatenate([one[name] for one in alone]), err_msg=name
    )
    # Other sizes of batches are other programs: float32 rounding.
    np.testing.assert_allclose(
      value, model.embed(images, batch_size=8)[name], rtol=1e-4, atol=1e-5
    )


def test_a_trained_run_is_left_as_it_is(whole, config, capsys, caplog):
  before = {p: p.stat().st_mtime_ns for p in whole.rglob("*.json*")}
  with caplog.at_level("INFO", "facerep_jax"):
    experiment.run(config, whole, ONE)
  assert "stage autoencoder: done, step 6" in caplog.text
  assert "stage diffusion: done, step 6" in caplog.text
  after = {p: p.stat().st_mtime_ns for p in whole.rglob("*.json*")}
  root = whole / "config.json"  # Written anew, the same.
  del before[root], after[root]
  assert before == after


@pytest.mark.parametrize("name", ["fabnet", "latentface"])
def test_adapting_asks_for_tracks(name, tmp_path):
  config = configuration.from_file(f"configs/{name}.py:adapt")
  with pytest.raises(errors.InputError, match=r"config\.data\.path: needed"):
    experiment.run(config, tmp_path / "run", ONE)
  assert not (tmp_path / "run").exists()


def test_weights_of_later_stages_are_looked_at_first(config, tmp_path):
  config.diffusion.init_from = str(tmp_path / "absent.safetensors")
  with pytest.raises(errors.InputError, match=r"absent\.safetensors: no such"):
    experiment.run(config, tmp_path / "run", ONE)
  assert not (tmp_path / "run").exists()


def take_over(whole, folder):
  """Begins a run whose first stage is done."""
  shutil.copytree(whole / "autoencoder", folder / "autoencoder")


@pytest.mark.parametrize(
  "stage", [pytest.param("autoencoder", marks=pytest.mark.slow), "diffusion"]
)
def test_going_on_after_a_kill_in_either_stage(
  whole, config, tmp_path, stage, monkeypatch
):
  class Killed(Exception):
    pass

  prepare = setup.prepare

  def until(config, place, *args, **kwargs):
    prepared, state = prepare(config, place, *args, **kwargs)
    if config.stage == stage and prepared.start == 0:
      step = prepared.train_step

      def count(state, *rest):
        if int(state.step) == 4:
          raise Killed
        return step(state, *rest)

      prepared.train_step = count
    return prepared, state

  if stage == "diffusion":
    take_over(whole, tmp_path)
  monkeypatch.setattr(experiment.setup, "prepare", until)
  with pytest.raises(Killed):
    experiment.run(config, tmp_path, ONE)
  experiment.run(config, tmp_path, ONE)
  for name in ("autoencoder", "diffusion"):
    assert readings(tmp_path / name) == readings(whole / name)


def test_sigterm_in_the_first_stage_ends_the_run(config, tmp_path, monkeypatch):
  device_batches = train.device_batches

  def stop(run, step):
    for batch in device_batches(run, step):
      signal.raise_signal(signal.SIGTERM)
      yield batch

  monkeypatch.setattr(train, "device_batches", stop)
  assert experiment.run(config, tmp_path, ONE) == 0
  assert not (tmp_path / "autoencoder" / "done.json").exists()
  assert not (tmp_path / "diffusion").exists()


def test_codes_from_the_cache_train_as_frames_do(whole, config, tmp_path):
  for kind in ("frames", "codes"):
    take_over(whole, tmp_path / kind)
  config.diffusion.data.cache_codes = False
  config.diffusion.steps = 2
  config.diffusion.every.update(log=1, pictures=0)
  experiment.run(config, tmp_path / "frames", ONE)
  config.diffusion.data.cache_codes = True
  experiment.run(config, tmp_path / "codes", ONE)
  frames, codes = (
    readings(tmp_path / kind / "diffusion") for kind in ("frames", "codes")
  )
  assert [x["step"] for x in codes] == [x["step"] for x in frames]
  # Codes in float32 from two programs; the second step follows the first.
  for a, b in zip(frames, codes):
    np.testing.assert_allclose(a["loss"], b["loss"], rtol=1e-3)
  assert not (tmp_path / "frames" / "diffusion" / "codes.npy").exists()


def test_stages_out_of_order_are_refused(whole, config, tmp_path):
  config.stage = "diffusion"
  with pytest.raises(errors.InputError, match="autoencoder: is not trained to"):
    experiment.run(config, tmp_path, ONE)
  config.stage = "all"
  config.autoencoder.steps = 9
  with pytest.raises(errors.InputError, match="the stage diffusion rests on"):
    experiment.run(config, whole, ONE)
  config.autoencoder.steps = 6
  config.diffusion.model.width = 32
  with pytest.raises(errors.InputError, match=r"model.width \(there 16, here"):
    experiment.run(config, whole, ONE)
  config.diffusion.model.width = 16
  used = whole / "diffusion" / "stages_used.json"
  text = used.read_text()
  used.write_text(json.dumps({"autoencoder": "0"}))
  (whole / "diffusion" / "done.json").rename(whole / "done.json")
  try:
    with pytest.raises(errors.InputError, match="began with other weights"):
      experiment.run(config, whole, ONE)
  finally:
    used.write_text(text)
    (whole / "done.json").rename(whole / "diffusion" / "done.json")


def test_statistics_are_those_of_training_frames(whole, data):
  model = facerep_jax.load(whole)
  source = setup.tracks.TrackSource(data, "train")
  rule, _ = configuration.sampling(model.config, num_frames=3, size_px=64)
  whole_tracks = setup.samples.WholeTracks(source, rule)
  frames = np.concatenate([whole_tracks[i] for i in range(len(source))])
  codes = np.asarray(model.system.encode(model.variables.frozen, frames))
  for i, name in enumerate(("albedo", "depth")):
    found = model.variables.frozen["statistics"][name]
    part = codes[:, 8 * i : 8 * i + 8]
    # Sums in another order.
    np.testing.assert_allclose(
      found["mean"], part.mean(axis=0), rtol=1e-4, atol=1e-5
    )
    deviation = part.std(axis=0)
    # A number that is rarely on counts as a tenth of the mean at least.
    least = 0.1 * deviation.mean()
    np.testing.assert_allclose(
      found["deviation"], np.maximum(deviation, least), rtol=1e-3
    )


def without_test_split(data, folder):
  """Copies tracks but for their test split."""
  return shutil.copytree(
    data, folder, ignore=lambda place, names: [x for x in names if "test" in x]
  )


def test_without_a_test_split_the_second_stage_is_reached(
  whole, data, config, tmp_path, monkeypatch, caplog
):
  take_over(whole, tmp_path / "run")
  place = tmp_path / "run" / "autoencoder"
  (place / "done.json").unlink()
  config.stage = "autoencoder"
  config.data.path = str(without_test_split(data, tmp_path / "tracks"))
  monkeypatch.setattr(experiment, "_look", LOOK)
  with caplog.at_level("INFO", "facerep_jax"):
    assert experiment.run(config, tmp_path / "run", ONE) == 0
  assert "not measured, what it has learned:" in caplog.text
  assert "holds no split 'test'" in caplog.text
  assert json.loads((place / "done.json").read_text()) == {"step": 6}
  # That of before is of other tracks.
  assert not (place / "summary.json").exists()


def test_damaged_test_records_are_for_the_user_to_decide(
  config, tmp_path, monkeypatch
):
  def fail(*args):
    raise experiment.tfrecord.BadRecordError("record 3: its checksum is wrong")

  monkeypatch.setattr(experiment.first_look, "measure", fail)
  one = stages.config_of(config, "autoencoder")
  with pytest.raises(errors.InputError, match="record 3"):
    LOOK(one, tmp_path, "tracks", tmp_path)


@pytest.mark.parametrize("kind", ["stages", "whole"])
def test_two_runs_do_not_share_a_folder(config, data, tmp_path, kind):
  if kind == "whole":
    config = tiny.config(data)
  with run_lock.held(tmp_path):
    before = sorted(tmp_path.iterdir())
    with pytest.raises(errors.InputError, match=f"process {os.getpid()} on .*"):
      experiment.run(config, tmp_path, ONE)
    assert sorted(tmp_path.iterdir()) == before


def test_all_batches_are_checked_before_anything_trains(
  config, tmp_path, monkeypatch
):
  monkeypatch.setattr(jax, "process_count", lambda: 2)
  config.autoencoder.batch_size = 8
  with pytest.raises(errors.InputError) as caught:
    experiment.run(config, tmp_path / "run")
  text = "config.diffusion.batch_size=1 does not divide among 8 devices"
  assert text in str(caught.value)
  assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("is_first", [True, False])
def test_processes_wait_while_examples_are_written(
  whole, config, tmp_path, monkeypatch, is_first
):
  """JAX lets them wait for five minutes at its own end."""
  events = []
  shutil.copytree(whole, tmp_path, dirs_exist_ok=True)
  monkeypatch.setattr(experiment.distributed, "is_first", lambda: is_first)
  monkeypatch.setattr(experiment.distributed, "wait", events.append)
  monkeypatch.setattr(
    experiment.examples, "write", lambda workdir: events.append("written")
  )
  assert experiment.run(config, tmp_path, ONE) == 0
  assert events == ["tracks", *(["written"] if is_first else []), "end"]


WRONG = {
  "autoencoder.batch_size": 0,
  "autoencoder.data.min_frames": -1,
  "autoencoder.every.log": 0,
  "autoencoder.model.decoder": "none",
  "autoencoder.model.num_groups": 5,
  "autoencoder.optimizer.learning_rate": -1.0,
  "diffusion.curriculum.lr_counting": "never",
  "diffusion.data.turn_ramp.first_deg": -1.0,
  "diffusion.ema_decay": 1.0,
  "diffusion.eval_samples": -1,
  "diffusion.model.width": 3,
  "diffusion.steps": 0,
  "keep": 0,
}


@pytest.mark.parametrize("name", WRONG)
def test_messages_name_settings_that_there_are(config, tmp_path, name):
  tiny.change(config, **{name.replace(".", "__"): WRONG[name]})
  with pytest.raises(errors.InputError) as caught:
    experiment.run(config, tmp_path / "run", ONE)
  known = configuration.flatten(config.to_dict())
  named = re.findall(r"\bconfig\.(\w+(?:\.\w+)*)", str(caught.value))
  assert named, caught.value
  for one in named:
    assert any(k == one or k.startswith(f"{one}.") for k in known), one
  # `num_groups` is told by the widths that it does not divide.
  assert named[0].split(".")[:-1] == name.split(".")[:-1]
  assert not (tmp_path / "run").exists()


def test_examples_are_of_the_weights_that_are_there(
  data, tmp_path, monkeypatch
):
  """Those of a run that is trained for longer are written anew."""
  forgotten = []
  monkeypatch.setattr(experiment.examples, "forget", forgotten.append)
  config = tiny.config(data, steps=1, every__pictures=0)
  for steps, count in ((1, 1), (1, 1), (2, 2)):
    config.steps = steps
    experiment.run(config, tmp_path, ONE)
    assert len(forgotten) == count
