import math

import pytest

from configs import fabnet, latentface
from facerep_jax import errors, setting_ranges
from facerep_jax.data import extract
from facerep_jax.runs import configuration, stages

NAN, INF = math.nan, math.inf


def _configs():
  """Yields the config of each preset, or of each of its stages."""
  for preset in fabnet.PRESETS:
    yield f"fabnet:{preset}", fabnet.get_config(preset)
  for preset in latentface.PRESETS:
    config = latentface.get_config(preset)
    for name in stages.names(config):
      yield f"latentface:{preset}:{name}", stages.config_of(config, name)


CONFIGS = dict(_configs())


def _numbers(config):
  return {
    name: value
    for name, value in configuration.flatten(config.to_dict()).items()
    if isinstance(value, (int, float)) and not isinstance(value, bool)
  }


def _outside(value, ranges):
  """Returns values of the same type that no setting may have."""
  if ranges.is_whole:
    return [int(ranges.low) - 1, int(ranges.high) + 1]
  out = [NAN, INF, -INF, ranges.low - 1.0, ranges.high + 1.0]
  out += [float(ranges.low)] * ranges.is_low_out
  return out + [float(ranges.high)] * ranges.is_high_out


def _set(config, name, value):
  *parents, last = name.split(".")
  for parent in parents:
    config = config[parent]
  with config.ignore_type():
    config[last] = value


@pytest.mark.parametrize("name", CONFIGS)
def test_every_number_of_every_preset_has_a_range(name):
  config = CONFIGS[name]
  configuration.check(config)
  table = setting_ranges.table_of(config.system, config.get("stage", ""))
  numbers = _numbers(config)
  assert sorted(set(numbers) - set(table)) == []
  assert all(table[key].holds(value) for key, value in numbers.items())
  assert len(numbers) > 40


@pytest.mark.parametrize("name", ["fabnet:demo", "latentface:demo:diffusion"])
def test_every_number_is_refused_outside_its_range(name):
  config = CONFIGS[name].copy_and_resolve_references()
  table = setting_ranges.table_of(config.system, config.get("stage", ""))
  num_tried = 0
  for key, good in _numbers(config).items():
    for bad in _outside(good, table[key]):
      _set(config, key, bad)
      with pytest.raises(errors.InputError) as caught:
        configuration.check(config)
      text = str(caught.value)
      assert text.split(":")[0].endswith("." + key.split(".")[-1])
      assert f"expected {table[key]}, got {bad!r}" in text
      num_tried += 1
    _set(config, key, good)
  configuration.check(config)
  assert num_tried > 100


def test_messages_name_settings_as_the_command_line_does():
  stage, _ = stages.split(latentface.get_config("demo"))
  config = stage.config
  for key, text in (
    ("optimizer.l2", "config.autoencoder.optimizer.l2: "),
    ("data.colour_jitter", "config.autoencoder.data.colour_jitter: "),
    ("model.weights.mirror", "config.autoencoder.model.weights.mirror: "),
    ("data.num_threads", "config.data.num_threads: "),
    ("seed", "config.seed: "),
  ):
    good = _numbers(config)[key]
    _set(config, key, -1)
    with pytest.raises(errors.InputError, match=f"^{text}"):
      configuration.check(config)
    _set(config, key, good)


@pytest.mark.parametrize(
  ("ranges", "inside", "outside"),
  [
    (
      setting_ranges.Range(0, 1),
      [0, 1, 0.5],
      [-0.1, 1.1, NAN, INF, -INF, True, "1", None],
    ),
    (setting_ranges.Range(0, 1, is_low_out=True), [1, 1e-9], [0, 0.0, -0.0]),
    (setting_ranges.Range(0, 1, is_high_out=True), [0, 0.999], [1, 1.0]),
    (
      setting_ranges.Range(1, 8, is_whole=True),
      [1, 8],
      [0, 9, 1.0, 2.5, NAN, False, "2", 10**400],
    ),
  ],
)
def test_ranges(ranges, inside, outside):
  assert all(ranges.holds(x) for x in inside)
  assert not any(ranges.holds(x) for x in outside)


def test_every_number_of_make_tracks_has_a_range():
  fields = {
    name
    for name, value in vars(extract.Settings()).items()
    if isinstance(value, (int, float)) and not isinstance(value, bool)
  }
  assert {"size" if x == "size_px" else x for x in fields} <= set(
    setting_ranges.TRACKS
  )
