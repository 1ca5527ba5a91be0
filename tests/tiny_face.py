"""A small autoencoder and its config, for tests."""

from configs import latentface
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
  "num_frames": 1,
  "face_from": "own",
}


def config(data_path: str, **changes):
  """The demo's config at a size that trains in seconds."""
  out = latentface.get_config("demo")
  out.data.path = data_path
  out.steps = 6
  out.batch_size = 2
  out.model.update(MODEL)
  out.model.weights.update(mirror=0.5, rough_shape=0.0)
  out.every.update(log=2, eval=3, pictures=1)
  out.eval_samples = 2
  return tiny.change(out, **changes)
