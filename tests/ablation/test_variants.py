import pytest

from configs import fabnet, latentface
from facerep_jax import errors
from facerep_jax.ablation import variants
from facerep_jax.runs import configuration, stages
from facerep_jax.systems import base


@pytest.mark.parametrize(
  ("module", "preset"),
  [(latentface, "paper"), (latentface, "demo"), (fabnet, "demo")],
)
def test_every_variant_is_another_run_that_can_be_built(module, preset):
  config = module.get_config(preset)
  found = variants.of(config)
  assert len({variant.name for variant in found}) == len(found) > 2
  before = config.to_dict()
  for variant in found:
    changed = variants.changed(config, variant)
    differing = {
      name
      for name, value in configuration.flatten(changed.to_dict()).items()
      if value != configuration.flatten(before)[name]
    }
    assert differing and differing <= set(variant.changes)
    for one in [stage.config for stage in stages.split(changed)]:
      configuration.check(one)
      base.build(one)
  assert config.to_dict() == before


def test_what_the_run_is_already_is_no_variant():
  names = {x.name for x in variants.of(latentface.get_config("demo"))}
  assert "weighting-uniform" not in names and "weighting-published" in names
  names = {x.name for x in variants.of(latentface.get_config("paper"))}
  assert "weighting-published" not in names and "weighting-min_snr" in names


def test_stages_that_a_variant_keeps_have_its_settings():
  config = latentface.get_config("demo")
  for variant in variants.of(config):
    changed = variants.changed(config, variant)
    for name in variant.keeps:
      assert stages.config_of(changed, name) == stages.config_of(config, name)


def test_settings_that_a_run_does_not_have():
  config = fabnet.get_config("demo")
  variant = variants.Variant("other", {"model.layers": 3})
  with pytest.raises(errors.InputError, match="no setting model.layers"):
    variants.changed(config, variant)
