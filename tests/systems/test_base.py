import pytest

from configs import fabnet
from facerep_jax import errors
from facerep_jax.systems import base


@pytest.mark.parametrize("preset", fabnet.PRESETS)
def test_every_preset_builds_its_system(preset):
  config = fabnet.get_config(preset)
  system = base.build(config)
  assert system.size_px == config.model.size_px
  assert system.num_frames == config.model.num_sources + 1


def test_unknown_system_and_preset():
  config = fabnet.get_config()
  config.system = "fabnett"
  with pytest.raises(errors.InputError, match="config.system: expected one of"):
    base.build(config)
  with pytest.raises(errors.InputError, match="no preset 'tiny'"):
    fabnet.get_config("tiny")
