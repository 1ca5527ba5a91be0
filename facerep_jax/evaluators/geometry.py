"""How close predicted depth is to the truth, up to what an image can tell.

Source: the scale-invariant error of Eigen et al. 2014, and the protocol of
  Unsup3D (CVPR 2020), section 4.1: that error (SIDE) and the mean angle
  deviation of normals (MAD), per image, where the eroded masks of truth and
  prediction overlap.
Differs: the true camera varies and is not the model's. See `to_model_camera`.
"""

from typing import NamedTuple

import numpy as np

from facerep_jax import errors
from facerep_jax.data import transforms
from facerep_jax.evaluators import base, bootstrap
from facerep_jax.ops import camera as camera_ops
from facerep_jax.ops import normals as normal_ops


class Maps(NamedTuple):
  """Depth as it is seen in the image that a network gets.

  Attributes:
    depth: [N, S, S] float, scene units of the model's camera: the face at
      about its `centre_depth`.
    mask: [N, S, S] float or bool, [0, 1]: where there is a surface. A pixel
      counts where it is more than half.
  """

  depth: np.ndarray
  mask: np.ndarray


def cut(
  depth: np.ndarray, square: tuple[float, float, float], size_px: int
) -> tuple[np.ndarray, np.ndarray]:
  """Cuts a true depth map as `api.Representation.crop` cuts its frame.

  Each pixel of the result averages the surface alone, with the weights of the
  same resampling: nothing behind the face is mixed in.

  Args:
    depth: [H, H] float, any unit; 0 where there is no surface.
    square: Left, top and side, in units of the frame's side.
    size_px: S.

  Returns:
    Depth [S, S] float64, 0 where there is no surface; mask [S, S] bool, true
    where more than half of the pixel is surface.

  Raises:
    InputError: The map is not square.
  """
  depth = np.asarray(depth, np.float64)
  errors.check_shape("depth", depth, f"H {len(depth)}", "Give square frames.")
  is_surface = depth > 0
  # About a depth of the face: float32 then carries the relief alone.
  middle = np.median(depth[is_surface]) if is_surface.any() else 0.0
  relief = np.where(is_surface, depth - middle, 0.0)
  planes = np.stack([relief, is_surface], axis=-1)
  total, share = np.moveaxis(
    transforms.crop_and_resize(planes, square, 1, size_px), -1, 0
  )
  mask = share > 0.5
  total, share = total.astype(np.float64), np.where(mask, share, 1.0)
  return np.where(mask, middle + total / share, 0.0), mask


def to_model_camera(
  depth: np.ndarray,
  mask: np.ndarray,
  focal_px: np.ndarray,
  camera: camera_ops.Camera,
) -> Maps:
  """Moves true depth into the camera that the model assumes.

  An image alone tells neither how far away a face is nor through which lens it
  was seen: twice the distance with twice the focal length gives almost the same
  picture (weak perspective). What it does tell is the relief in pixels. At the
  mean depth z0 a length l spans l f / z0 px, along the axis as across it; in
  the model's camera, with the face at c, it is l' f_model / c. Setting them
  equal for the relief z - z0 gives

    d = c (1 + (z - z0) / z0 * f / f_model),

  with z0 the mean over the mask. That near parts are magnified in a near camera
  is not undone: where a face at 4 times its own depth is seen, parts differ in
  scale by up to an eighth from what this assumes.

  Args:
    depth: [N, S, S] float, of the true camera, any unit.
    mask: [N, S, S] bool, the surface.
    focal_px: [N] float, the true focal length in px of these maps.
    camera: The model's; S is its size.

  Returns:
    Depth [N, S, S] float64, c outside the mask; and the mask.

  Raises:
    InputError: Shapes do not fit, or a mask is empty.
  """
  size = camera.size_px
  errors.check_shape(
    "depth", depth, f"N {size} {size}", "Cut it to the camera."
  )
  errors.check_shape("mask", mask, " ".join(map(str, depth.shape)))
  errors.check_shape("focal_px", focal_px, str(len(depth)), "One per image.")
  count = mask.sum(axis=(1, 2))
  if not count.all():
    raise errors.InputError(
      f"mask: that of image {int(np.argmin(count))} is empty. Drop frames "
      "whose crop shows no face."
    )
  depth = np.where(mask, np.asarray(depth, np.float64), 0.0)
  mean = (depth.sum(axis=(1, 2)) / count)[:, None, None]
  scale = (np.asarray(focal_px, np.float64) / camera.focal_px)[:, None, None]
  relief = np.where(mask, (depth - mean) / mean * scale, 0.0)
  return Maps(camera.centre_depth * (1 + relief), mask)


def average(true: Maps) -> np.ndarray:
  """Averages true depth over images, each pixel where it is surface.

  Args:
    true: In the model's camera.

  Returns:
    [S, S] float64; pixels that are surface in no image have the value of the
    nearest one that is.

  Raises:
    InputError: No image has a surface.
  """
  count = true.mask.sum(axis=0)
  if not count.any():
    raise errors.InputError("depth: no image has a surface. Give more images.")
  total = np.sum(np.where(true.mask, true.depth, 0.0), axis=0)
  mean = total / np.maximum(count, 1)
  ndimage = errors.require("scipy.ndimage", "evaluation", "the average face")
  nearest = ndimage.distance_transform_edt(
    count == 0, return_distances=False, return_indices=True
  )
  return mean[tuple(nearest)]


def measure(
  predicted: Maps,
  true: Maps,
  group: np.ndarray,
  camera: camera_ops.Camera,
  seed: int = 0,
) -> base.Measured:
  """Measures predicted depth maps.

  Args:
    predicted: In the input view.
    true: What `to_model_camera` returned.
    group: [N], the person of each row.
    camera: The model's.
    seed: Of the bootstrap.

  Returns:
    Scores, means over images: `side`, 100 times the deviation of
    log(predicted / true) from its mean; `normal_deg`, mean angle between
    normals; `covered`, share of the pixels of the true, eroded mask that is
    measured. Quality: `normal_deg`, negative. Details: `num_empty`, images with
    nothing to measure, which `covered` alone counts.

  Raises:
    InputError: Shapes do not fit, a depth is not positive, or nothing in any
      image can be measured.
  """
  shape = " ".join(map(str, np.shape(true.depth)))
  for name, value in (("depth", predicted.depth), ("mask", predicted.mask)):
    errors.check_shape(f"predicted {name}", value, shape)
  for name, maps in (("predicted", predicted), ("true", true)):
    if not np.min(maps.depth, initial=1) > 0:  # Catches NaN too.
      raise errors.InputError(
        f"{name} depth: expected positive numbers, got {np.min(maps.depth)}."
      )
  wanted = erode(true.mask)
  used = wanted & erode(predicted.mask)
  count = used.sum(axis=(1, 2))
  if not count.any():
    raise errors.InputError(
      "predicted mask: nothing of any face is shown. Train the run further."
    )
  share = 100 * count / np.maximum(wanted.sum(axis=(1, 2)), 1)
  side = 100 * scale_invariant_error(predicted.depth, true.depth, used)
  angle = np.degrees(_between(predicted.depth, true.depth, camera))
  angle = _masked_mean(angle, used)
  is_any = count > 0
  # Of the images that count in a draw of people.
  mean = lambda values: lambda w: _average(values, w * is_any)
  scores = {
    "side": bootstrap.score(mean(side), group, "%", False, seed),
    "normal_deg": bootstrap.score(mean(angle), group, "deg", False, seed),
    "covered": bootstrap.score(share, group, "%", True, seed),
  }
  details = {"num_empty": int(np.sum(~is_any))}
  return base.Measured(scores, np.where(is_any, -angle, -np.inf), details)


def erode(mask: np.ndarray) -> np.ndarray:
  """Takes one pixel off masks [N, S, S]; borders of the image count as edges.

  Returns:
    [N, S, S] bool, true where all of 3 x 3 pixels are more than half.
  """
  inside = np.pad(np.asarray(mask) > 0.5, ((0, 0), (1, 1), (1, 1)))
  out = np.ones(np.shape(mask), bool)
  height, width = out.shape[1:]
  for row in range(3):
    for column in range(3):
      out &= inside[:, row : row + height, column : column + width]
  return out


def scale_invariant_error(
  predicted: np.ndarray, true: np.ndarray, used: np.ndarray
) -> np.ndarray:
  """Computes the root of the variance of log(predicted / true).

  Source: Eigen et al. 2014, equation 1, whose square root Unsup3D reports.

  Args:
    predicted: [N, S, S] float, above 0.
    true: [N, S, S] float, above 0.
    used: [N, S, S] bool, pixels that count.

  Returns:
    [N] float64; 0 where no pixel counts.
  """
  delta = np.log(np.float64(predicted)) - np.log(np.float64(true))
  # About the mean first, so that the variance loses no digits.
  delta = delta - _masked_mean(delta, used)[:, None, None]
  return np.sqrt(_masked_mean(delta**2, used))


def _between(predicted, true, camera):
  """Returns the angles between normals, [N, S, S] float64, radians."""
  a, b = (
    np.asarray(normal_ops.from_depth(np.float32(depth), camera), np.float64)
    for depth in (predicted, true)
  )
  # Exact for small angles and for lengths other than 1.
  across = np.linalg.norm(np.cross(a, b), axis=-1)
  return np.arctan2(across, np.sum(a * b, axis=-1))


def _masked_mean(values, used):
  count = np.maximum(used.sum(axis=(1, 2)), 1)
  return np.sum(np.where(used, values, 0.0), axis=(1, 2)) / count


def _average(values, weights):
  total = weights.sum()
  return float(weights @ values / total) if total else np.nan
