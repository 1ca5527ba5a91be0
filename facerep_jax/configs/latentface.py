"""LatentFace: --config=latentface, or latentface:PRESET.

Two stages, `config.autoencoder` and `config.diffusion`, one after the other; or
the one that `config.stage` names. Presets:
  paper: the published recipe, 64 px (the default).
  small: 128 px; the autoencoder has at most 15 MB of float16 weights.
  demo: minutes on a laptop.
  synthetic: what the packaged weights were trained with: the networks of the
    demo for hours, all turns of synthetic people.
  adapt: goes on from the packaged weights on tracks of your own, in minutes;
    needs --config.data.path.
"""

import dataclasses

import ml_collections

from facerep_jax import errors
from facerep_jax.runs import configuration
from facerep_jax.systems import (
  autoencoder_settings,
  base,
  diffusion_settings,
)

PRESETS = ("paper", "small", "demo", "synthetic", "adapt")


def get_config(preset: str = "paper") -> ml_collections.ConfigDict:
  """Returns the settings of a preset.

  Args:
    preset: One of `PRESETS`.

  Raises:
    InputError: There is no such preset.
  """
  if preset not in PRESETS:
    raise errors.InputError(
      f"--config=latentface: no preset {preset!r}; there are "
      f"{', '.join(PRESETS)}."
    )
  config = configuration.staged("latentface", preset, base.STAGES["latentface"])
  _set_autoencoder(config.autoencoder)
  _set_diffusion(config.diffusion)
  if preset == "small":
    _make_small(config)
  if preset == "demo":
    _make_demo(config)
  if preset == "synthetic":
    _make_synthetic(config)
  if preset == "adapt":
    _make_adapt(config)
  return config


def _set_autoencoder(config):
  config.model = dataclasses.asdict(autoencoder_settings.Settings())
  del config.model.dtype  # Of all stages.
  # 30 passes over the 162,770 training images of CelebA, 64 at a time.
  config.steps = 76_000
  config.batch_size = 64
  config.optimizer.update(name="adam", learning_rate=1e-4, l2=5e-4)
  config.curriculum.use = False
  config.curriculum.lr_factor = 1.0  # A constant learning rate.
  config.data.sample_by = "chunk"
  config.data.use_jitter = False
  config.data.use_mirror = True


def _set_diffusion(config):
  config.model = dataclasses.asdict(diffusion_settings.Settings({}))
  del config.model.dtype, config.model.autoencoder  # Of the other stage.
  # Published: one track at a time; for how long is not said.
  config.steps = 100_000
  config.batch_size = 1
  config.optimizer.update(
    name="adam",
    learning_rate=1e-4,
    l2=5e-4,
    clip_norm=1.0,
    clip_by="network",
    schedule="cyclic_cosine",
    last_rate=1e-5,
    cycle_steps=100,
  )
  config.curriculum.use = False
  config.curriculum.lr_factor = 1.0
  config.data.sample_by = "chunk"
  config.data.min_frames = 16
  config.data.with_replacement = True
  config.data.use_jitter = False
  config.data.use_mirror = True
  config.data.cache_codes = True
  config.every.update(eval=2_000, pictures=5)


def _make_small(config):
  model = config.autoencoder.model
  model.size_px = 128
  # 14.9 MB of float16 weights without the confidence network, which only
  # training needs.
  model.width = 16
  model.num_groups = 4
  model.vector_width = 24
  model.confidence_width = 32
  config.diffusion.model.width = 128
  config.synthetic.size_px = 192


def _make_demo(config):
  _make_demo_autoencoder(config.autoencoder)
  _make_demo_diffusion(config.diffusion)
  config.synthetic.pose_scale = 0.4
  config.synthetic.expressions = 4
  config.synthetic.num_people = 300
  config.synthetic.size_px = 96


def _make_synthetic(config):
  autoencoder, diffusion = config.autoencoder, config.diffusion
  _make_light_autoencoder(autoencoder)
  autoencoder.steps = 125_000  # 2 million images.
  autoencoder.ema_decay = 0.999
  autoencoder.data.turn_ramp.update(begin_step=1_000, end_step=8_000)
  autoencoder.eval_samples = 240
  autoencoder.every.update(log=250, eval=5_000, save=1, pictures=1)
  _make_demo_diffusion(diffusion)
  diffusion.model.width = 128  # The file of both stages has 9 MB.
  diffusion.steps = 6_000
  diffusion.batch_size = 16
  diffusion.eval_samples = 240
  diffusion.every.update(log=100, eval=500, save=1, pictures=4)
  config.keep = 1
  config.synthetic.update(configuration.VARIED_PEOPLE)


def _make_adapt(config):
  """Few steps with small ones, so that little is forgotten."""
  _make_synthetic(config)
  config.init_from = config.diffusion.init_from = "latentface-synthetic"
  for one in (config.autoencoder, config.diffusion):
    one.ema_decay = 0.99
    one.eval_samples = 64
    one.optimizer.update(learning_rate=2e-4, last_rate=2e-5)
  config.autoencoder.steps = 800
  config.autoencoder.data.turn_ramp.update(begin_step=0, end_step=0)
  config.autoencoder.every.update(log=50, eval=200, save=1, pictures=4)
  config.diffusion.steps = 300
  config.diffusion.batch_size = 8
  config.diffusion.data.min_frames = 2
  # A handful of validation people is too few to rank.
  config.diffusion.model.select_by = "error"
  config.diffusion.every.update(log=50, eval=100, save=1, pictures=3)
  config.keep = 2
  config.synthetic.num_people = 0  # The tracks are one's own.


def _make_light_autoencoder(config):
  """What learns fastest on a CPU: see docs/latentface.md."""
  model = config.model
  model.width = 16
  # Four channels to a group, as in the published width.
  model.num_groups = 4
  model.code_dim = 128
  model.vector_width = 16
  model.hidden_dim = 128
  model.decoder = "resize"
  model.light_and_view = "joint"
  model.use_confidence = False
  model.mirror = "random"
  # From the noise of the first shapes so short a run does not recover.
  model.depth_gain = 0.1
  model.depth_prior = 0.8
  model.depth_prior_upright = 0.2
  # A frame that faces the camera explains one that may be turned: its texture
  # cannot copy the turn.
  model.num_frames = 2
  model.cross_frame = "one"
  model.first_share = 0.8
  model.weights.update(
    mirror=1.0,
    perceptual=0.3,
    laplacian=1.0,
    depth_smoothness=1.0,
    view_search=0.5,
  )
  model.perceptual = "pyramid"
  config.batch_size = 8
  config.optimizer.update(
    learning_rate=1e-3,
    beta2=0.99,
    l2=0.0,
    clip_norm=5.0,
    schedule="cosine",
    last_rate=5e-5,
  )
  config.data.turn_ramp.update(first_deg=20.0, frontal_first=True)


def _make_demo_autoencoder(config):
  _make_light_autoencoder(config)
  config.steps = 3000
  config.data.turn_ramp.update(begin_step=500, end_step=1500)
  config.every.update(log=50, eval=1000, save=1, pictures=2)


def _make_demo_diffusion(config):
  # Few large groups: normalising groups of four numbers loses half of them.
  config.model.update(
    width=256,
    num_groups=8,
    standardise=True,
    weighting="uniform",
    direction="textbook",
    spacing="trailing",
    sampler_clip=0.0,
    # The error is least for identities that say little.
    select_by="verification",
    wccn=True,
  )
  # A camera is no identity: codes are averaged over all recordings.
  config.data.sample_by = "recordings"
  config.steps = 900
  config.batch_size = 8
  config.ema_decay = 0.99
  config.optimizer.update(
    learning_rate=1e-3, l2=0.0, schedule="cosine", last_rate=0.0
  )
  config.every.update(log=50, eval=300, save=1, pictures=2)
