"""LatentFace: --config=configs/latentface.py, or configs/latentface.py:PRESET.

So far its first stage (`config.stage`), the 3D-aware autoencoder. Presets:
  paper: the published recipe, 64 px (the default).
  small: 128 px, at most 15 MB of float16 weights.
  demo: minutes on a laptop.
"""

import dataclasses

import ml_collections

from facerep_jax import configuration, errors
from facerep_jax.systems import autoencoder_settings

PRESETS = ("paper", "small", "demo")


def get_config(preset: str = "paper") -> ml_collections.ConfigDict:
  """Returns the settings of a preset.

  Args:
    preset: One of `PRESETS`.

  Raises:
    InputError: There is no such preset.
  """
  if preset not in PRESETS:
    raise errors.InputError(
      f"configs/latentface.py: no preset {preset!r}; there are "
      f"{', '.join(PRESETS)}."
    )
  config = configuration.base("latentface", preset)
  config.stage = "autoencoder"
  config.model = dataclasses.asdict(autoencoder_settings.Settings())
  del config.model.dtype  # Of `config`.
  # 30 passes over the 162,770 training images of CelebA, 64 at a time.
  config.steps = 76_000
  config.batch_size = 64
  config.optimizer = {
    "name": "adam",
    "learning_rate": 1e-4,
    "momentum": 0.9,
    "l2": 5e-4,
    "clip_norm": 0.0,
  }
  config.curriculum.use = False
  config.curriculum.lr_factor = 1.0  # A constant learning rate.
  config.data.sample_by = "chunk"
  config.data.use_jitter = False
  config.data.use_mirror = True
  if preset == "small":
    _make_small(config)
  if preset == "demo":
    _make_demo(config)
  return config


def _make_small(config):
  config.model.size_px = 128
  # 14.9 MB of float16 weights without the confidence network, which only
  # training needs.
  config.model.width = 16
  config.model.vector_width = 24
  config.model.confidence_width = 32
  config.synthetic.size_px = 192


def _make_demo(config):
  config.model.width = 16
  config.model.code_dim = 128
  config.model.vector_width = 16
  config.model.hidden_dim = 128
  config.model.confidence_width = 16
  config.model.confidence_code_dim = 64
  # From the noise of the first shapes so short a run does not recover.
  config.model.depth_gain = 0.1
  config.model.depth_dome = 0.8
  config.model.dome_upright = 0.2
  config.model.weights.rough_shape = 3.0
  # Viewpoints are what is learned last, if at all. What a track's other frame
  # shows cannot be copied into the texture, and without confidence the mirror
  # cannot be discounted.
  config.model.num_frames = 4
  config.model.face_from = "next"
  config.model.use_confidence = False
  config.model.weights.mirror = 1.0
  config.synthetic.turns = 0.4
  config.steps = 2400
  config.batch_size = 2
  config.optimizer.learning_rate = 5e-4
  config.optimizer.l2 = 0.0
  config.every = {"log": 50, "eval": 300, "save": 1, "pictures": 2}
  config.synthetic.num_people = 300
  config.synthetic.size_px = 96
