import jax.numpy as jnp
import numpy as np

from facerep_jax import face_model, face_pictures
from facerep_jax.ops import camera

SIZE = 32
FORMATION = face_model.Formation(camera.Camera(SIZE))


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
  seen = face_pictures.turned(depth, image, 0, FORMATION)
  np.testing.assert_allclose(seen, image, atol=1e-3)


def test_positive_yaw_turns_the_nose_to_the_left():
  depth, image = _bump()
  # The nose, nearest to the camera, goes left; the right side comes forward
  # and to the middle.
  nose = 0.5 + np.zeros((SIZE, SIZE, 3), np.float32)
  nose[15:17, 15:17] = (1, 0, 0)
  left = face_pictures.turned(depth, nose[None], 30, FORMATION)
  right = face_pictures.turned(depth, nose[None], -30, FORMATION)
  assert _middle_of_mark(left) < 14 < 17 < _middle_of_mark(right)
  for seen in (left, right):
    # The sides come in, and show the white behind them.
    assert (seen[0, 16, 0] == 1).all() and (seen[0, 16, -1] == 1).all()
  mark = _middle_of_mark(image)
  turned = face_pictures.turned(depth, image, 60, FORMATION)
  assert _middle_of_mark(turned) < mark


def test_maps_as_pictures():
  depth = jnp.array([[[0.9, 1.0], [1.1, 1.2]]])
  grey = face_pictures.depth_to_grey(depth)
  np.testing.assert_allclose(grey[0, :, :, 0], [[1, 0.5], [0, 0]], atol=1e-6)
  assert grey.shape == (1, 2, 2, 3)
  colour = face_pictures.normals_to_rgb(jnp.array([0.0, 0.0, 1.0]))
  np.testing.assert_allclose(colour, [0.5, 0.5, 1.0])


def test_captions_name_each_column_once():
  for use_confidence in (True, False):
    names = face_pictures.captions(use_confidence)
    assert len(set(names)) == len(names)
    assert ("confidence" in names) == use_confidence
