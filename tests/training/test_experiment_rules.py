"""What `experiment` checks, waits for and redoes; nothing is trained."""

import json
import os
import re
import shutil
import types

import jax
import pytest

from facerep_jax import errors
from facerep_jax.runs import configuration, run_lock, stages
from facerep_jax.training import experiment
from tests import tiny, tiny_face

ONE = jax.devices()[:1]
LOOK = experiment._look


@pytest.fixture(scope="module")
def data(tmp_path_factory):
  return tiny.write_tracks(tmp_path_factory.mktemp("tracks"))


@pytest.fixture
def config(data):
  return tiny_face.lean(data)


@pytest.fixture(autouse=True)
def _no_looks(monkeypatch):
  monkeypatch.setattr(experiment.examples, "write", lambda workdir: None)
  monkeypatch.setattr(experiment, "_look", lambda *args: None)


def without_test_split(data, folder):
  """Copies tracks but for their test split."""
  return shutil.copytree(
    data, folder, ignore=lambda place, names: [x for x in names if "test" in x]
  )


@pytest.fixture
def trained(monkeypatch):
  """Lets training be at its end at once; returns how often it was begun."""
  begun, reached = [], [0]

  def prepare(config, place, *args):
    begun.append(config.get("stage", "whole"))
    run = types.SimpleNamespace(start=reached[0], steps=config.steps)
    return run, None

  def go_on(prepared, state):
    reached[0] = max(prepared.start, prepared.steps)
    return types.SimpleNamespace(step=reached[0])

  monkeypatch.setattr(experiment.setup, "prepare", prepare)
  monkeypatch.setattr(experiment.loop, "train", go_on)
  monkeypatch.setattr(experiment.stage_inputs, "frozen", lambda *args: {})
  return begun


def test_without_a_test_split_the_second_stage_is_reached(
  trained, data, config, tmp_path, monkeypatch, caplog
):
  model = types.SimpleNamespace(config=stages.config_of(config, "autoencoder"))
  monkeypatch.setattr(experiment.summary.api, "load", lambda place: model)
  monkeypatch.setattr(experiment, "_look", LOOK)
  config.data.path = str(without_test_split(data, tmp_path / "tracks"))
  places = [tmp_path / "run" / name for name in ("autoencoder", "diffusion")]
  for place in places:
    place.mkdir(parents=True)
    (place / "summary.json").write_text("of other tracks")
  with caplog.at_level("INFO", "facerep_jax"):
    assert experiment.run(config, tmp_path / "run", ONE) == 0
  assert trained == ["autoencoder", "diffusion"]
  for place in places:
    assert json.loads((place / "done.json").read_text()) == {"step": 6}
    assert f"{place}: not measured, what it has learned:" in caplog.text
    assert not (place / "summary.json").exists()
  assert caplog.text.count("holds no split 'test'") == 2


def test_damaged_test_records_are_for_the_user_to_decide(
  config, tmp_path, monkeypatch
):
  def fail(*args):
    raise experiment.tfrecord.BadRecordError("record 3: its checksum is wrong")

  monkeypatch.setattr(experiment.summary, "measure", fail)
  stage, _ = stages.split(config)
  with pytest.raises(errors.InputError, match="record 3"):
    LOOK(stage, tmp_path, "tracks")


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
  trained, config, tmp_path, monkeypatch, is_first
):
  """JAX lets them wait for five minutes at its own end."""
  events = []
  for name in ("autoencoder", "diffusion"):
    (tmp_path / name).mkdir()
    stages.mark_done(tmp_path / name, 6)
  monkeypatch.setattr(experiment.distributed, "is_first", lambda: is_first)
  monkeypatch.setattr(experiment.distributed, "wait", events.append)
  monkeypatch.setattr(
    experiment.examples, "write", lambda workdir: events.append("written")
  )
  assert experiment.run(config, tmp_path, ONE) == 0
  assert events == ["tracks", *(["written"] if is_first else []), "end"]
  assert trained == []


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
  trained, data, tmp_path, monkeypatch
):
  """Those of a run that is trained for longer are written anew."""
  config, forgotten = tiny.config(data), []
  monkeypatch.setattr(experiment.examples, "forget", forgotten.append)
  for config.steps, count in ((1, 1), (1, 1), (3, 2), (2, 2)):
    experiment.run(config, tmp_path, ONE)
    assert forgotten == count * [tmp_path]
  assert len(trained) == 4


def test_addresses_of_stores_are_refused(config, tmp_path):
  with pytest.raises(errors.InputError, match="workdir=gs://b/run: expected a"):
    experiment.run(config, "gs://b/run")
  config.data.path = "gs://b/tracks"
  with pytest.raises(errors.InputError, match="data.path=gs://b/tracks: expec"):
    experiment.run(config, tmp_path / "run")
  assert not (tmp_path / "run").exists()
