"""Pictures of what stage 2 has learned, a column for each kind."""

import collections

import jax
import jax.numpy as jnp

from facerep_jax.faces import rendering
from facerep_jax.ops import image_range
from facerep_jax.systems import diffusion_model


def columns(model: diffusion_model.Model, variables, batch):
  """Draws the columns.

  Args:
    model: Networks and settings.
    variables: Their parameters.
    batch: `frames` [B, T, S, S, 3] uint8.

  Returns:
    [B, S, S, 3] float32, [0, 1], by caption: a frame of each track; what is
    rebuilt of it; its face from the front; the face of the denoised code; a
    second frame and the face of its denoised code, which should be the same;
    the face of the mean code; the next track's frame, and its expression on
    this person; by how much the third and the fourth differ. Faces from the
    front are lit as in the first frame.
  """
  frames = image_range.uint8_to_01(batch["frames"])
  num_tracks, num_frames = frames.shape[:2]
  rows = frames.reshape(-1, *frames.shape[2:])
  found = diffusion_model.encode_with_neutral(
    model, variables, rows, jax.random.key(0)
  )
  found = {
    name: x.reshape(num_tracks, num_frames, -1) for name, x in found.items()
  }
  one = {name: x[:, 0] for name, x in found.items()}
  other = {name: x[:, -1] for name, x in found.items()}
  mean = {name: jnp.mean(x, axis=1) for name, x in found.items()}
  following = {name: jnp.roll(x, -1, axis=0) for name, x in one.items()}

  def front(pick):
    codes = [pick("albedo"), pick("depth")]
    return _front(model, variables, *codes, one["light"])

  plain = front(lambda name: one[f"{name}_code"])
  neutral = front(lambda name: one[f"neutral_{name}_code"])
  rebuilt = model.first.factors(
    diffusion_model.of_first(variables), frames[:, 0]
  )
  columns = {
    "input": frames[:, 0],
    "rebuilt": rebuilt["reconstruction"],
    "front": plain,
    "neutral": neutral,
    "other frame": frames[:, -1],
    "its neutral": front(lambda name: other[f"neutral_{name}_code"]),
    "track's mean": front(lambda name: mean[f"{name}_code"]),
    "next face": jnp.roll(frames[:, 0], -1, axis=0),
    "its expression": front(
      lambda name: (
        one[f"neutral_{name}_code"]
        + following[f"{name}_code"]
        - following[f"neutral_{name}_code"]
      )
    ),
    "change x 3": jnp.clip(0.5 + 1.5 * (plain - neutral), 0.0, 1.0),
  }
  return collections.OrderedDict(columns)  # A dict would lose its order in jit.


def _front(model, variables, albedo_code, depth_code, light):
  """Draws faces from the front, [B, S, S, 3] in [0, 1]."""
  faces = model.first.faces
  depth, albedo11 = faces.decode(
    diffusion_model.of_first(variables), albedo_code, depth_code
  )
  view = jnp.zeros((len(light), 6))
  face = rendering.Face(depth, albedo11, light, view)
  shaded = rendering.shade(face, faces.formation)
  return image_range.to_01(shaded.image11)
