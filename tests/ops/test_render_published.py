"""The renderer against PyTorch3D, by golden pictures and gradients."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from facerep_jax.ops import camera as cameras
from facerep_jax.ops import render
from tests.ops import scenes


@functools.partial(jax.jit, static_argnames="camera")
def _draw(depth, colour, pose, camera):
  return render.render_depth_map(
    depth, colour, pose, camera, pixel_grid="published"
  )


def _cosine(a, b):
  a, b = np.float64(a), np.float64(b)
  return (a * b).sum() / np.sqrt((a * a).sum() * (b * b).sum())


def _published(reference):
  """Pictures, and gradients of the published loss, of golden vectors."""
  images = reference["image"].transpose(0, 2, 3, 1)
  target = np.float32(reference["target"]).transpose(0, 2, 3, 1)
  camera = cameras.Camera(images.shape[1])

  def loss(depth, image, view):
    pose = cameras.Pose(cameras.euler_to_rotation(view[:, :3]), view[:, 3:])
    out = _draw(depth, image, pose, camera)
    mask = jax.lax.stop_gradient((out.depth < 1.2).astype(jnp.float32))
    error = mask[..., None] * jnp.abs(out.colour - target)
    return jnp.sum(error) / jnp.sum(mask), out

  return jax.grad(loss, (0, 1, 2), has_aux=True)(
    reference["depth"], images, reference["view"]
  )


def _check_published(reference):
  (grad_depth, grad_image, grad_view), out = _published(reference)
  rgb = out.colour.transpose(0, 3, 1, 2)
  is_same = (np.abs(rgb - np.float32(reference["rgb"])) < 1e-2).all(1)
  is_same &= np.abs(out.depth - np.float32(reference["z"])) < 1e-2
  # Centres on edges: their image 0, seen from the front, has a few holes.
  assert (is_same.mean((1, 2)) >= 0.99).all(), is_same.mean((1, 2))
  for k in range(len(rgb)):
    cosine = _cosine(grad_view[k], reference["grad_view"][k])
    assert cosine > 0.995, (k, cosine)
    # Where the published one is 0: what the hole at a pixel hides.
    at = reference["grad_depth"][k] != 0
    cosine = _cosine(grad_depth[k][at], reference["grad_depth"][k][at])
    assert cosine > 0.98, (k, cosine)
  assert _cosine(grad_view, reference["grad_view"]) > 0.995
  grad_image = grad_image.transpose(0, 3, 1, 2)[:, :, ::2, ::2]
  assert _cosine(grad_image, reference["grad_image"]) > 0.9999


def test_matches_published_excerpt(golden):
  _check_published(np.load(golden / "render_small.npz"))


def test_matches_published(shared):
  _check_published(np.load(shared / "golden" / "render.npz"))


def test_turning_matches_published(shared):
  reference = np.load(shared / "golden" / "render.npz")
  camera = cameras.Camera(64)
  for k, yaw in enumerate((60, 30, 0, -30, -60)):
    out = _draw(
      reference["depth"][:2],
      reference["image"][:2].transpose(0, 2, 3, 1),
      jax.tree.map(lambda x: np.repeat(x, 2, axis=0), scenes.pose(0, yaw)),
      camera,
    )
    want = reference["yaw_sweep"][:, k].transpose(0, 2, 3, 1)
    error = np.abs(np.clip(out.colour, -1, 1)[:, ::2, ::2] - want).max(-1)
    assert ((error < 1e-2).mean((1, 2)) >= 0.99).all(), yaw
