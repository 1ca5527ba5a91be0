"""Runs of which files are damaged: one line, or the same weights."""

import json
import os
import pathlib
import shutil

import jax
import numpy as np
import pytest

import facerep_jax
from facerep_jax import errors
from facerep_jax.inference import api
from facerep_jax.runs import configuration, stages
from facerep_jax.training import setup
from tests import tiny

ONE = jax.devices()[:1]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
  """A run of three checkpoints, the second the best, with frozen weights."""
  folder = tmp_path_factory.mktemp("damaged")
  data = tiny.write_tracks(folder / "tracks")
  config = tiny.config(data, model__frozen=("flow_decoder",))
  with jax.numpy_dtype_promotion("standard"):
    prepared, state = setup.prepare(config, folder / "run", data, ONE)
  meta = {"curriculum": {}, "source": "x", "num_devices": 1}
  for step, loss in ((1, 0.5), (2, 0.25), (3, 0.75)):
    moved = jax.tree.map(lambda x: x + step, state.params)  # noqa: B023
    prepared.checkpoints.save(step, state.replace(params=moved), meta, loss)
  prepared.checkpoints.close()
  prepared.writer.close()
  return folder / "run"


@pytest.fixture(scope="module")
def want(whole):
  """Step and weights of the run as it was."""
  return _weights(whole)


@pytest.fixture
def run(whole, tmp_path):
  return pathlib.Path(shutil.copytree(whole, tmp_path / "run"))


def _weights(workdir):
  model = facerep_jax.load(workdir, devices=ONE)
  return model.step, stages.fingerprint(jax.device_get(model.variables.params))


DAMAGES = {
  "empty": lambda path: path.write_bytes(b""),
  "half": lambda path: os.truncate(path, path.stat().st_size // 2),
  "garbage": lambda path: path.write_bytes(b"\xff\x00{garbage]" * 9),
  "gone": lambda path: path.unlink(),
  "a list": lambda path: path.write_text("[1]"),
  "no text": lambda path: path.write_bytes(b'{"\xff": 1}'),
}


def _check(whole, want, run, name, damage):
  """Damages a file; returns whether the run was refused."""
  path = run / name
  DAMAGES[damage](path)
  try:
    found = _weights(run)
  except errors.InputError as error:
    assert "\n" not in str(error) and len(str(error)) > 20
    return True
  finally:
    shutil.copyfile(whole / name, path)
  if name == "checkpoints/2/metrics/metrics":
    # Said in the log, of damage: the best of those whose loss is known.
    assert found[0] == 1, (name, damage)
    return False
  assert found == want, (name, damage)
  return False


def _files(folder):
  return sorted(
    str(path.relative_to(folder))
    for path in folder.rglob("*")
    if path.is_file() and "tensorboard" not in path.parts
  )


@pytest.mark.slow
def test_any_damaged_file_is_one_line_or_not_needed(whole, want, run):
  names = _files(whole)
  found = {
    (name, damage): _check(whole, want, run, name, damage)
    for name in names
    for damage in DAMAGES
  }
  print(f"{len(found)} damages, {sum(found.values())} refused")
  assert len(names) > 20 and sum(found.values()) > 20
  # What other steps hold is not needed.
  assert not any(
    is_refused
    for (name, _), is_refused in found.items()
    if name.startswith(("checkpoints/1/metrics/m", "checkpoints/3/metrics/m"))
  )


@pytest.mark.parametrize("damage", DAMAGES)
def test_the_loss_of_a_checkpoint_that_is_not_needed(
  whole, want, run, damage, caplog
):
  assert not _check(whole, want, run, "checkpoints/1/metrics/metrics", damage)
  is_said = "counts as a checkpoint without a loss" in caplog.text
  assert is_said == (damage != "gone")


@pytest.mark.parametrize("value", ['"x"', "NaN", "null", "[1]"])
def test_a_loss_that_is_no_number_is_none(whole, want, run, value):
  (run / "checkpoints/3/metrics/metrics").write_text(f'{{"loss": {value}}}')
  assert _weights(run) == want
  (run / "checkpoints/2/metrics/metrics").write_text(f'{{"loss": {value}}}')
  assert _weights(run)[0] == 1


def test_going_on_from_damaged_losses_names_the_checkpoint(run):
  config = configuration.load(run)
  (run / "checkpoints/1/metrics/metrics").write_text("{")
  with (
    jax.numpy_dtype_promotion("standard"),
    pytest.raises(errors.InputError, match="Delete the folder of that.*: 1"),
  ):
    setup.prepare(config, run, config.data.path, ONE)


@pytest.mark.parametrize("damage", ["empty", "garbage"])
def test_damaged_frozen_parameters(whole, want, run, damage):
  assert _check(whole, want, run, "frozen/_METADATA", damage)
  shutil.rmtree(run / "frozen")
  with pytest.raises(errors.InputError, match="frozen: the frozen parameters"):
    _weights(run)


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_config(whole, want, run, damage):
  assert _check(whole, want, run, "config.json", damage)


@pytest.mark.parametrize(
  ("name", "value"),
  [
    ("system", "other"),
    ("system", ["fabnet"]),
    ("keep", "3"),
    ("keep", None),
    ("model", {}),
    ("model", 3),
    ("model.width", "x"),
    ("model.width", 0),
    ("model.width", True),
    ("model.unknown", 1),
    ("data", []),
    ("data.crop", {"frame_px": 256, "other": 1}),
    ("data.crop.frame_px", 2.5),
    ("dtype", "float99"),
    ("dtype", 3),
    ("ema_decay", "0"),
    ("seed", -1),
  ],
)
def test_config_of_which_a_setting_is_damaged(run, name, value):
  path = run / "config.json"
  tree = json.loads(path.read_text())
  node, (*parents, last) = tree, name.split(".")
  for parent in parents:
    node = node[parent]
  node[last] = value
  path.write_text(json.dumps(tree))
  with pytest.raises(errors.InputError) as caught:
    api.load(run)
  assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
  "text", ['{"step": "x"}', '{"step": -1}', '{"step": 1.5}', "[]", "{", ""]
)
def test_damaged_note_of_a_stage(tmp_path, text):
  (tmp_path / "done.json").write_text(text)
  with pytest.raises(errors.InputError, match="done.json: is damaged"):
    stages.done_step(tmp_path)


def test_damaged_note_of_the_weights_a_stage_rests_on(tmp_path):
  stages.check_used(tmp_path, {"a": {"w": np.ones(2)}})
  (tmp_path / "stages_used.json").write_text("[")
  with pytest.raises(errors.InputError, match="stages_used.json: is damaged"):
    stages.check_used(tmp_path, {"a": {"w": np.ones(2)}})
