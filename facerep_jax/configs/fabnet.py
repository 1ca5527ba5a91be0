"""FAb-Net: --config=fabnet, or fabnet:PRESET.

Presets:
  paper: the published recipe with one source frame (the default).
  sources: its second stage: three sources, masks, flow decoder frozen; give
    --config.init_from=RUN, a run of `paper`.
  small: 128 px, embeds with 8 MB of float16 weights.
  demo: minutes on a laptop.
  synthetic: what the packaged weights were trained with: 64 px, for hours, on
    synthetic people.
  adapt: goes on from the packaged weights on tracks of your own, in minutes;
    needs --config.data.path.
"""

import ml_collections

from facerep_jax import errors
from facerep_jax.runs import configuration

PRESETS = ("paper", "sources", "small", "demo", "synthetic", "adapt")


def get_config(preset: str = "paper") -> ml_collections.ConfigDict:
  """Returns the settings of a preset.

  Args:
    preset: One of `PRESETS`.

  Raises:
    InputError: There is no such preset.
  """
  if preset not in PRESETS:
    raise errors.InputError(
      f"--config=fabnet: no preset {preset!r}; there are {', '.join(PRESETS)}."
    )
  config = configuration.base("fabnet", preset)
  config.model = {
    "size_px": 256,
    "width": 32,
    "embed_dim": 256,
    "num_sources": 1,
    "use_mask": False,
    "align_corners": True,
    "upsample_align_corners": False,
    "frozen": (),
    "batch_norm_groups": 1,
  }
  # 3,000 passes over the 4,278 training people of VoxCeleb2, 32 at a time.
  config.steps = 401_000
  if preset == "sources":
    config.model.num_sources = 3
    config.model.use_mask = True
    config.model.frozen = ("flow_decoder",)
  if preset == "small":
    config.model.size_px = 128
    config.steps = 100_000
    config.synthetic.size_px = 192
  if preset == "demo":
    _make_demo(config)
  if preset == "synthetic":
    _make_synthetic(config)
  if preset == "adapt":
    _make_adapt(config)
  return config


def _make_synthetic(config):
  config.model.update(size_px=64, width=24, embed_dim=256)
  config.steps = 62_500  # 4 million pairs.
  config.batch_size = 64
  config.optimizer.update(
    name="adam", learning_rate=1e-3, schedule="cosine", last_rate=2e-5
  )
  config.curriculum.use = False
  config.curriculum.lr_factor = 1.0
  config.data.update(sample_by="chunk", use_mirror=True, colour_jitter=0.2)
  config.every.update(log=250, eval=2_500, save=1, pictures=1)
  config.keep = 1
  config.synthetic.update(configuration.VARIED_PEOPLE)


def _make_adapt(config):
  """Few steps with small ones, so that little is forgotten."""
  _make_synthetic(config)
  config.init_from = "fabnet-synthetic"
  config.steps = 600
  config.batch_size = 32
  config.optimizer.update(learning_rate=2e-4, last_rate=2e-5)
  config.eval_samples = 128
  config.every.update(log=50, eval=100, save=1, pictures=3)
  config.keep = 2
  config.synthetic.num_people = 0  # The tracks are one's own.


def _make_demo(config):
  config.model.size_px = 64
  config.model.width = 16
  config.model.embed_dim = 128
  config.steps = 2200
  config.optimizer.name = "adam"
  # The window of easy pairs needs longer than this: it starts with those in
  # which hardly anything moves.
  config.curriculum.use = False
  # Without a window the plateau only lowers the learning rate.
  config.curriculum.lr_patience = 2
  config.curriculum.lr_factor = 0.3
  config.data.sample_by = "chunk"
  config.every.update(log=50, eval=100, save=1, pictures=5)
  config.synthetic.num_people = 300
  config.synthetic.size_px = 96
