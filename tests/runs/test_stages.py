import pathlib

import numpy as np
import pytest

from configs import fabnet, latentface
from facerep_jax import errors
from facerep_jax.runs import configuration, setting_names, stages
from tests import tiny, tiny_face


def test_a_stage_has_what_is_shared_and_what_is_its_own():
  config = tiny_face.staged("there", seed=3, init_from="weights.pth")
  config.diffusion.data.with_replacement = True
  config.autoencoder.data.with_replacement = False
  config.autoencoder.steps, config.diffusion.steps = 11, 12
  first, second = (stage.config for stage in stages.split(config))
  assert (first.steps, second.steps) == (11, 12)
  assert (first.stage, second.stage) == ("autoencoder", "diffusion")
  for one in (first, second):
    assert one.seed == 3 and one.data.path == "there"
    assert "autoencoder" not in one and "diffusion" not in one
    configuration.check(one)
  assert second.data.with_replacement and not first.data.with_replacement
  # Weights to start from are those of the first stage.
  assert (first.init_from, second.init_from) == ("weights.pth", "")
  config.diffusion.init_from = "other.safetensors"
  own = stages.config_of(config, "diffusion")
  assert own.init_from == "other.safetensors"
  del config.diffusion.init_from  # As in runs of before.
  assert stages.config_of(config, "diffusion").init_from == ""
  assert second.model.autoencoder == config.autoencoder.model
  # Copies: the config of all stages stays as it is.
  second.model.autoencoder.width = 99
  assert config.autoencoder.model.width == 16
  # What is trained with labels is the first stage.
  bound = stages.trainable(second)
  assert bound.stage == "autoencoder" and bound.model.width == 99
  assert stages.trainable(fabnet.get_config()) == fabnet.get_config()


def test_configs_keep_the_same_settings_in_both_stages():
  config = latentface.get_config()
  keys = [set(config[name]) for name in stages.names(config)]
  assert keys[0] == keys[1] - {"init_from"}
  one = stages.config_of(config, "diffusion")
  plain = configuration.base("latentface", "paper")
  assert set(one) == set(plain) | {"stage", "model"}
  assert set(one.data) == set(plain.data)


def test_settings_have_the_names_that_the_user_gives():
  config = tiny_face.staged("there")
  flat = configuration.flatten(config.to_dict())
  for stage in stages.split(config):
    for name in configuration.flatten(stage.config.to_dict()):
      named = setting_names.of(stage.config, name)
      assert named.removeprefix("config.") in flat, name
  assert setting_names.of(stage.config, "steps") == "config.diffusion.steps"
  assert setting_names.of(stage.config, "model.autoencoder.width") == (
    "config.autoencoder.model.width"
  )
  plain = fabnet.get_config()
  for name in configuration.flatten(plain.to_dict()):
    assert setting_names.of(plain, name) == f"config.{name}"


def test_errors_name_settings_as_the_user_gives_them(tmp_path):
  first, second = stages.split(tiny_face.staged("there"))
  for key, bad, text in (
    ("optimizer.name", "lion", "diffusion.optimizer.name: expected one of"),
    ("optimizer.last_rate", 1.0, "diffusion.optimizer.last_rate: expected 0 "),
    ("curriculum.low", 0.9, "diffusion.curriculum: expected low < high"),
    ("data.turn_ramp.begin_step", 9, "diffusion.data.turn_ramp: begin_step=9"),
    ("data.sample_by", "day", "diffusion.data.sample_by: expected one of"),
    ("data.on_bad_record", "", "data.on_bad_record: expected one of"),
  ):
    config = second.config.copy_and_resolve_references()
    tiny.change(config, **{key.replace(".", "__"): bad})
    with pytest.raises(errors.InputError, match=rf"^config\.{text}"):
      configuration.check(config)
      configuration.sampling(config, num_frames=2, size_px=64)
  configuration.write(first.config, tmp_path)
  changed = tiny.change(first.config, batch_size=99, seed=5)
  text = r"settings: config\.autoencoder\.batch_size \(.*, config\.seed \("
  with pytest.raises(errors.InputError, match=text):
    configuration.check_same(changed, tmp_path)


def test_which_stages_are_chosen():
  config = latentface.get_config()
  assert [x.name for x in stages.chosen(config)] == ["autoencoder", "diffusion"]
  config.stage = "diffusion"
  (second,) = stages.chosen(config)
  assert (second.name, second.config.stage) == ("diffusion", "diffusion")
  assert (second.before, second.after) == (("autoencoder",), ())
  assert second.folder(pathlib.Path("run")) == pathlib.Path("run/diffusion")
  config.stage = "both"
  with pytest.raises(errors.InputError, match="expected all or one of autoenc"):
    stages.chosen(config)
  assert stages.names(fabnet.get_config()) == ()
  assert stages.names(second.config) == ()
  # A run without stages is one, without a name and in the run's own folder.
  (whole,) = stages.chosen(fabnet.get_config())
  assert whole.config == fabnet.get_config()
  assert (whole.name, whole.before, whole.after) == ("", (), ())
  assert whole.folder(pathlib.Path("run")) == pathlib.Path("run")


def test_folders(tmp_path):
  configuration.write(fabnet.get_config(), tmp_path)
  assert stages.folder(tmp_path) == tmp_path
  configuration.write(latentface.get_config(), tmp_path)
  assert stages.folder(tmp_path, "autoencoder") == tmp_path / "autoencoder"
  (tmp_path / "autoencoder" / "checkpoints").mkdir(parents=True)
  assert stages.folder(tmp_path) == tmp_path / "autoencoder"
  (tmp_path / "diffusion" / "checkpoints").mkdir(parents=True)
  assert stages.folder(tmp_path) == tmp_path / "diffusion"
  with pytest.raises(errors.InputError, match="no config.json"):
    stages.folder(tmp_path / "elsewhere")


def test_done_marks(tmp_path):
  assert stages.done_step(tmp_path) == 0
  stages.mark_done(tmp_path, 70)
  assert stages.done_step(tmp_path) == 70
  (tmp_path / "done.json").write_text("{")
  with pytest.raises(errors.InputError, match="done.json: is damaged"):
    stages.done_step(tmp_path)


def test_other_weights_of_the_stage_before_are_refused(tmp_path):
  place = tmp_path / "diffusion"
  weights = {
    "net": {"kernel": np.ones(2, np.float32), "bias": np.ones(1, np.float32)}
  }
  same = {
    "net": {"bias": np.ones(1, np.float32), "kernel": np.ones(2, np.float32)}
  }
  other = {
    "net": {
      "kernel": np.ones(2, np.float32),
      "bias": 2 * np.ones(1, np.float32),
    }
  }
  stages.check_used(place, {"autoencoder": weights})
  stages.check_used(place, {"autoencoder": same})
  with pytest.raises(errors.InputError, match="began with other weights"):
    stages.check_used(place, {"autoencoder": other})
