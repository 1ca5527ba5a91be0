import jax.numpy as jnp
import numpy as np
import pytest

from facerep_jax import errors
from facerep_jax.faces import panels, rendering
from facerep_jax.ops import camera

SIZE = 32
FORMATION = rendering.Formation(camera.Camera(SIZE))


def _bump():
  """A face that stands out of a plane, with a red mark on its right side."""
  y, x = np.mgrid[:SIZE, :SIZE] / (SIZE - 1) - 0.5
  depth = 1.0 - 0.04 * np.exp(-(x**2 + y**2) / 0.05)
  image = np.full((SIZE, SIZE, 3), 0.5)
  image[14:18, 22:26] = (1, 0, 0)
  return (jnp.asarray(v[None], jnp.float32) for v in (depth, image))


def _middle_of_mark(image):
  """Column of the red pixels."""
  red = np.asarray(image[0, :, :, 0] - image[0, :, :, 1]) > 0.5
  return np.mean(np.nonzero(red)[1]) if red.any() else None


def test_unturned_is_the_canonical_picture():
  depth, image = _bump()
  seen = panels.turned(depth, image, 0, FORMATION)
  np.testing.assert_allclose(seen, image, atol=1e-3)


def test_positive_yaw_turns_the_nose_to_the_left():
  depth, image = _bump()
  # The nose, nearest to the camera, goes left; the right side comes forward
  # and to the middle.
  nose = 0.5 + np.zeros((SIZE, SIZE, 3), np.float32)
  nose[15:17, 15:17] = (1, 0, 0)
  left = panels.turned(depth, nose[None], 30, FORMATION)
  right = panels.turned(depth, nose[None], -30, FORMATION)
  assert _middle_of_mark(left) < 14 < 17 < _middle_of_mark(right)
  for seen in (left, right):
    # The sides come in, and show the white behind them.
    assert (seen[0, 16, 0] == 1).all() and (seen[0, 16, -1] == 1).all()
  mark = _middle_of_mark(image)
  turned = panels.turned(depth, image, 60, FORMATION)
  assert _middle_of_mark(turned) < mark


def test_maps_as_pictures():
  depth = jnp.array([[[0.9, 1.0], [1.1, 1.2]]])
  grey = panels.depth_to_grey(depth)
  np.testing.assert_allclose(grey[0, :, :, 0], [[1, 0.5], [0, 0]], atol=1e-6)
  assert grey.shape == (1, 2, 2, 3)
  colour = panels.normals_to_rgb(jnp.array([0.0, 0.0, 1.0]))
  np.testing.assert_allclose(colour, [0.5, 0.5, 1.0])


def test_a_picture_is_the_shaded_face_from_its_viewpoint():
  depth, image = _bump()
  light = jnp.array([[0.5, -0.5, 0.3, 0.0]])
  view = jnp.array([[0.1, -0.3, 0.0, 0.2, 0.0, 0.0]])
  face = rendering.Face(depth, 2 * image - 1, light, view)
  shaded = rendering.shade(face, FORMATION)
  seen = rendering.render_face(depth, shaded.image11, view, FORMATION)
  picture = panels.picture(face, FORMATION)
  want = np.clip(np.asarray(seen.colour) / 2 + 0.5, 0, 1)
  np.testing.assert_allclose(picture, want, atol=1e-6)
  assert picture.max() == 1 and picture.min() < 0.5
  # Of nine pixels, the middle one is where the small picture has its own.
  large = panels.picture(face, FORMATION, 3 * SIZE)
  off = np.abs(large[:, 1::3, 1::3] - picture).max(-1) > 1e-4
  assert off.mean() < 1e-2  # At edges rounding decides.
  with pytest.raises(errors.InputError, match="Use a camera of the size"):
    panels.picture(face, FORMATION._replace(kind="warp"), 3 * SIZE)


def test_maps_fit_together():
  depth, image = _bump()
  light = jnp.array([[0.0, -0.5, 0.3, 0.0]])
  face = rendering.Face(depth, 2 * image - 1, light, jnp.zeros((1, 6)))
  maps = panels.maps(face, FORMATION)
  np.testing.assert_array_equal(maps["canonical_depth"], face.depth)
  np.testing.assert_allclose(maps["albedo"], image, atol=1e-6)
  # Ambient and diffuse light of 0.5 and 0.25.
  slope = np.array([0.3, 0.0, 1.0]) / np.hypot(0.3, 1.0)
  cosine = np.asarray(maps["normal"], np.float64) @ slope
  grey = 0.5 + 0.25 * np.maximum(cosine, 0)
  np.testing.assert_allclose(maps["shading"][..., 0], grey, atol=1e-5)
  want = np.asarray(maps["albedo"]) * grey[..., None]
  np.testing.assert_allclose(maps["canonical"], want, atol=1e-5)
