import jax
import pytest

from configs import latentface
from facerep_jax import errors
from facerep_jax.runs import stages
from facerep_jax.systems import base
from tests import tiny_autoencoder


@pytest.mark.parametrize(
  ("changes", "text"),
  [
    (
      {"size_px": 48},
      "config.autoencoder.model.size_px: expected one of 64, 128, 256",
    ),
    (
      {"width": 8},
      "config.autoencoder.model.width: expected a multiple of 16, got 8",
    ),
    ({"light_per": "batch"}, "light_per: expected one of image, track"),
    (
      {"cross_frame": "next"},
      "config.autoencoder.model.cross_frame='next' takes the face",
    ),
    ({"image_formation": "draw"}, "image_formation: expected one of"),
    (
      {"pixel_grid": "own"},
      "config.autoencoder.model.pixel_grid: expected one of",
    ),
    (
      {"perceptual": "vgg"},
      "config.autoencoder.model.perceptual: expected one of vgg16",
    ),
    (
      {"frozen": ("decoder",)},
      "config.autoencoder.model.frozen=.*some, not all",
    ),
    (
      {"num_frames": 0},
      "config.autoencoder.model.num_frames: expected a whole",
    ),
    ({"softness_edge_px": 1.0}, "softness_depth=0.0: expected both 0"),
    ({"max_angle_deg": 90.0}, "max_angle_deg: expected a number, more than 0"),
    ({"weights": {"shape_consistency": 1.0}}, "num_frames is 1. Set it to 2"),
    ({"weights": {"mirror": -1.0}}, "weights.mirror: expected a number from"),
  ],
)
def test_settings_that_cannot_work_are_refused(changes, text):
  with pytest.raises(errors.InputError, match=text):
    tiny_autoencoder.make(**changes)


@pytest.mark.parametrize("preset", latentface.PRESETS)
def test_every_preset_builds_its_system(preset):
  config = stages.config_of(latentface.get_config(preset), "autoencoder")
  system = base.build(config)
  assert system.size_px == config.model.size_px
  is_light = preset not in ("paper", "small")
  assert system.num_frames == (2 if is_light else 1)
  if preset == "small":
    params = jax.eval_shape(system.init, tiny_autoencoder.KEY).params
    used = [params[name] for name in ("depth", "albedo", "light", "view")]
    count = sum(x.size for x in jax.tree.leaves(used))
    assert 2 * count <= 15e6


def test_unknown_stages_and_presets_are_refused():
  config = stages.config_of(latentface.get_config(), "autoencoder")
  config.stage = "all"
  with pytest.raises(errors.InputError, match="config.stage: expected one of"):
    base.build(config)
  with pytest.raises(errors.InputError, match="no preset 'tiny'"):
    latentface.get_config("tiny")
