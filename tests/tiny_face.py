"""A small LatentFace and its config, for tests."""

from configs import latentface
from facerep_jax.runs import stages
from tests import tiny

MODEL = {
  "size_px": 64,
  "width": 16,
  "code_dim": 8,
  "vector_width": 4,
  "hidden_dim": 8,
  "confidence_width": 16,
  "confidence_code_dim": 8,
  "use_confidence": True,
  "decoder": "transposed",
  "light_and_view": "separate",
  "num_frames": 1,
  "cross_frame": "own",
}
LEAN = {
  "use_confidence": False,
  "decoder": "resize",
  "light_and_view": "joint",
}
DIFFUSION = {
  "width": 16,
  "num_groups": 8,
  "num_frames": 3,
  "weighting": "min_snr",
}


def staged(data_path: str, **changes):
  """The demo's config, of both stages, at a size that trains in seconds."""
  out = latentface.get_config("demo")
  out.data.path = data_path
  for one in (out.autoencoder, out.diffusion):
    one.steps = 6
    one.batch_size = 2
    one.every.update(log=2, eval=3, pictures=1)
    one.eval_samples = 2
  # A part of a run with fewer steps is then a part of the whole.
  out.autoencoder.optimizer.schedule = "constant"
  out.autoencoder.model.update(MODEL)
  out.autoencoder.model.weights.update(mirror=0.5, depth_smoothness=0.0)
  out.diffusion.model.update(DIFFUSION)
  out.diffusion.batch_size = 1  # As published.
  out.diffusion.data.min_frames = 3
  return tiny.change(out, **changes)


def lean(data_path: str, **changes):
  """As `staged`, for tests of what is around a loss: one of few terms."""
  out = staged(data_path)
  out.autoencoder.model.update(LEAN)
  out.autoencoder.model.weights.update(
    perceptual=0.0, laplacian=0.0, view_search=0.0
  )
  return tiny.change(out, **changes)


def config(data_path: str, **changes):
  """The config of the autoencoder alone, as for a run without stages."""
  out = stages.config_of(staged(data_path), "autoencoder")
  return tiny.change(out, **changes)


def small(out, data_path: str):
  """Makes a preset small; what it is about, and its second batch, stay."""
  out.data.path = data_path
  out.autoencoder.batch_size = min(6, out.autoencoder.batch_size)
  if out.preset == "demo":
    out.autoencoder.batch_size = 8
  for one in (out.autoencoder, out.diffusion):
    one.steps = 2
    one.every.update(log=1, eval=2, pictures=0)
    one.eval_samples = 2
  out.autoencoder.model.update(
    width=16, code_dim=8, vector_width=4, hidden_dim=8, perceptual="pyramid"
  )
  out.autoencoder.model.update(confidence_width=16, confidence_code_dim=8)
  out.diffusion.model.update(width=16, num_groups=8, num_frames=3)
  out.diffusion.data.min_frames = 3
  return out
