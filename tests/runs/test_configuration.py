import json
import pathlib

import pytest

from configs import fabnet
from facerep_jax import errors
from facerep_jax.runs import configuration
from facerep_jax.systems import base

ROOT = pathlib.Path(__file__).resolve().parents[2]


def test_config_files_give_presets_whose_settings_are_fixed():
  path = str(ROOT / "configs" / "fabnet.py")
  assert configuration.from_file(path).preset == "paper"
  config = configuration.from_file(f"{path}:demo")
  assert config.to_dict() == fabnet.get_config("demo").to_dict()
  config.model.width = 4
  with pytest.raises(AttributeError, match="widht"):
    config.model.widht = 4


def test_files_that_are_no_configs_are_named(tmp_path):
  with pytest.raises(errors.InputError, match=r"nowhere.py: no such file"):
    configuration.from_file(f"{tmp_path}/nowhere.py:demo")
  (tmp_path / "other.py").write_text("")
  with pytest.raises(errors.InputError, match=r"defines no get_config\(\)"):
    configuration.from_file(f"{tmp_path}/other.py")
  with pytest.raises(errors.InputError, match="no preset 'other'"):
    configuration.from_file(f"{ROOT}/configs/fabnet.py:other")


@pytest.mark.parametrize("preset", fabnet.PRESETS)
def test_presets_pass_the_check_and_build_what_they_say(preset):
  config = fabnet.get_config(preset)
  configuration.check(config)
  assert base.build(config).size_px == config.model.size_px


@pytest.mark.parametrize(
  ("name", "value", "text"),
  [
    ("steps", 0, "config.steps: expected a whole number from 1 to .*, got 0"),
    ("dtype", "float16", "float32 or bfloat16, got 'float16'"),
    ("ema_decay", 1.0, "at least 0 and less than 1, got 1.0"),
    ("batch_size", 1, "too small for the curriculum window"),
  ],
)
def test_values_out_of_range_are_named(name, value, text):
  config = fabnet.get_config()
  config[name] = value
  with pytest.raises(errors.InputError, match=text):
    configuration.check(config)
  config = fabnet.get_config()
  config.optimizer.learning_rate = -1.0
  with pytest.raises(errors.InputError, match="learning_rate"):
    configuration.check(config)


def test_sampling_of_evaluation_is_fixed_and_free_of_augmentation():
  config = fabnet.get_config()
  config.seed = 7
  config.data.update(use_mirror=True, colour_jitter=0.3)
  train, held_out = configuration.sampling(config, num_frames=2, size_px=64)
  assert (train.seed, train.use_mirror, train.colour_jitter) == (7, True, 0.3)
  assert (held_out.seed, held_out.use_mirror, held_out.colour_jitter) == (
    0,
    False,
    0,
  )
  assert train.is_shuffled and not held_out.is_shuffled
  assert train.crop == held_out.crop and train.is_jittered


def test_store_and_load(tmp_path):
  config = fabnet.get_config("demo")
  configuration.store(config, tmp_path)
  assert configuration.load(tmp_path).to_dict() == json.loads(config.to_json())
  longer = fabnet.get_config("demo")
  longer.steps, longer.every.log, longer.data.path = 9999, 7, "elsewhere"
  configuration.store(longer, tmp_path)
  assert configuration.load(tmp_path).steps == 9999
  longer.model.width = 8
  longer.optimizer.momentum = 0.5
  with pytest.raises(
    errors.InputError,
    match=r"config.model.width \(there 16, here 8\), config.optimizer.mom",
  ):
    configuration.store(longer, tmp_path)
  assert configuration.load(tmp_path).model.width == 16


def test_flatten():
  assert configuration.flatten({"a": {"b": 1, "c": {"d": 2}}, "e": 3}) == {
    "a.b": 1,
    "a.c.d": 2,
    "e": 3,
  }
