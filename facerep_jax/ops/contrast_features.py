"""Fixed features that compare pictures where VGG16's weights are absent.

Each kind maps a picture to a map of a quarter of its side, as VGG16's relu3_3
does, so that the same loss and the same confidence apply. No kind is trained
and none reads a file. All say where lines and edges are; all are blind to the
brightness around a place, nearly so to the contrast there, and forgive shifts
that are small against their filters.

On synthetic faces of 64 px, `pyramid` tells a wrong shape from wrong light and
blur best, and is the one to take.
"""

import functools
import itertools
import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from facerep_jax import errors
from facerep_jax.ops import conv as conv_ops

_CELLS_PX = (4, 2, 1)  # A feature's side at each level of the pyramid.
_DIRECTIONS = 8
_LUMA = (0.299, 0.587, 0.114)
_NOISE = 0.02  # Contrast at which a feature has lost 30 % of its size.
_WIDTHS = (3, 8, 8, 16, 16, 32, 32, 32)
_HALVED = (2, 4)  # Convolutions that see half the resolution.


def features(images11: jax.Array, kind: str) -> jax.Array:
  """Computes the features of one kind.

  Args:
    images11: [N, S, S, 3] float, [-1, 1], S a multiple of 4.
    kind: A key of `KINDS`.

  Returns:
    [N, S / 4, S / 4, D] float32, on faces of deviation about 1.

  Raises:
    InputError: There is no such kind, or the shape does not fit.
  """
  if kind not in KINDS:
    raise errors.InputError(
      f"perceptual features: expected one of {', '.join(sorted(KINDS))}, got "
      f"{kind!r}."
    )
  errors.check_shape("images11", images11, "N S S 3", "Use NHWC.")
  if images11.shape[1] % _CELLS_PX[0]:
    raise errors.InputError(
      f"images11: expected a side that is a multiple of {_CELLS_PX[0]} px, "
      f"got {images11.shape[1]}. Resize the images."
    )
  images01 = images11.astype(jnp.float32) / 2 + 0.5
  # Rows of whole planes make every filter one large matrix product. The
  # kinds' last factors were measured, for a deviation of 1 on faces.
  return KINDS[kind](images01.transpose(0, 3, 1, 2)).transpose(0, 2, 3, 1)


def pyramid(images01: jax.Array) -> jax.Array:
  """Bands of a Laplacian pyramid and their sizes, against the contrast.

  Source: Burt and Adelson, The Laplacian pyramid as a compact image code
    (1983).
  Differs: bands and their absolute values are averaged over each place and
    divided by the root of the sum of their squares around it.

  Args:
    images01: [N, 3, S, S] float32, [0, 1].

  Returns:
    [N, 3 levels x (3 bands, 3 sizes), S / 4, S / 4] float32.
  """
  maps = []
  for cell, level in zip(_CELLS_PX, _levels(images01)):
    band = level - blur(level, 2.0)
    size = jnp.sqrt(jnp.square(band) + _NOISE**2)
    both = jnp.concatenate([band, size], axis=1)
    maps.append(_against_contrast(blur(both, cell / 2, cell)))
  return 5.5 * jnp.concatenate(maps, axis=1)


def gradients(images01: jax.Array) -> jax.Array:
  """Strength of edges by direction and scale, against the contrast.

  The gradient of brightness counts for each of eight directions with its
  length times the squared cosine of the angle between them, where that is
  acute; counts are averaged over each place.

  Source: Dalal and Triggs, Histograms of oriented gradients (2005).
  Differs: smooth in the picture, three scales, no blocks.

  Args:
    images01: [N, 3, S, S] float32, [0, 1].

  Returns:
    [N, 3 levels x 8 directions, S / 4, S / 4] float32; the first direction
    is to the right, the third down.
  """
  luma = jnp.asarray(_LUMA, jnp.float32).reshape(1, 3, 1, 1)
  luma = jnp.sum(images01 * luma, axis=1, keepdims=True)
  maps = []
  for cell, level in zip(_CELLS_PX, _levels(luma)):
    counts = _directions(*slopes(level, 1.0))
    maps.append(_against_contrast(blur(counts, cell / 2, cell)))
  return 4.5 * jnp.concatenate(maps, axis=1)


def random_vgg(images01: jax.Array) -> jax.Array:
  """Seven convolutions like VGG16's, with orthogonal weights of one seed.

  The first filters have no mean and there are no biases: brightness has no
  effect, and contrast only multiplies the features, until it is divided out.

  Source: the layout of `models.vgg`, a smaller width.
  Differs: resolution is halved by averages, not by the largest value.

  Args:
    images01: [N, 3, S, S] float32, [0, 1].

  Returns:
    [N, 32, S / 4, S / 4] float32.
  """
  x = images01 - jnp.mean(images01, axis=(2, 3), keepdims=True)
  x = x.transpose(0, 2, 3, 1)
  for i, kernel in enumerate(_random_kernels()):
    if i in _HALVED:
      x = blur(x.transpose(0, 3, 1, 2), 1.0, 2).transpose(0, 2, 3, 1)
    x = conv_ops.conv(x, jnp.asarray(kernel), stride=1, padding=1)
    x = jax.nn.relu(x)
  x = x - jnp.mean(x, axis=-1, keepdims=True)
  return 9.0 * _against_contrast(x.transpose(0, 3, 1, 2))


def blur(x: jax.Array, sigma_px: float, cell_px: int = 1) -> jax.Array:
  """Averages by Gaussian weights around the centre of each cell.

  At the border the weights that are left are made to sum to 1.

  Args:
    x: [N, C, S, S] float32.
    sigma_px: Deviation of the Gaussian.
    cell_px: Side of a cell, a divisor of S.

  Returns:
    [N, C, S / cell, S / cell] float32.
  """
  matrix = _gauss(x.shape[-1], sigma_px, cell_px)
  return _separable(x, matrix, matrix)


def slopes(x: jax.Array, sigma_px: float) -> tuple[jax.Array, jax.Array]:
  """Differentiates along x and y under a Gaussian window.

  Each is the slope of the line that fits the window best, times its
  deviation; at the border the window is cut off, and so exact on a ramp.

  Args:
    x: [N, C, S, S] float32.
    sigma_px: Deviation of the Gaussian.

  Returns:
    Two [N, C, S, S] float32: along x, along y.
  """
  smooth = _gauss(x.shape[-1], sigma_px, 1)
  slope = _slope(x.shape[-1], sigma_px)
  return _separable(x, smooth, slope), _separable(x, slope, smooth)


def _levels(x):
  """Yields the picture at full, half and quarter resolution."""
  for i in range(len(_CELLS_PX)):
    x = blur(x, 1.0, 2) if i else x
    yield x


def _against_contrast(x):
  """Divides [N, C, h, w] by the length of the features around each place."""
  power = jnp.sum(jnp.square(x), axis=1, keepdims=True)
  return x * jax.lax.rsqrt(blur(power, 1.0) + _NOISE**2)


def _directions(x, y):
  """Shares gradients [N, 1, H, W] out among directions, [N, 8, H, W]."""
  angles_rad = np.arange(_DIRECTIONS) * (2 * math.pi / _DIRECTIONS)
  cos, sin = (
    jnp.asarray(f(angles_rad), jnp.float32).reshape(1, -1, 1, 1)
    for f in (np.cos, np.sin)
  )
  along = jax.nn.relu(x * cos + y * sin)
  # The length is never zero: its derivative stays finite on a flat picture.
  length = jnp.sqrt(jnp.square(x) + jnp.square(y) + _NOISE**2)
  return jnp.square(along) / length


def _separable(x, rows, columns):
  """Applies [h, H] to the rows and [w, W] to the columns of [N, C, H, W]."""
  return _last_axis(_last_axis(x, columns).swapaxes(2, 3), rows).swapaxes(2, 3)


def _last_axis(x, matrix):
  """Applies [w, W] to the last axis of [N, C, H, W]."""
  matrix = jnp.asarray(matrix.T)
  out = jnp.matmul(x.reshape(-1, x.shape[-1]), matrix, precision="highest")
  return out.reshape(*x.shape[:-1], -1)


@functools.cache
def _gauss(size, sigma_px, cell_px):
  """[size / cell, size] Gaussian weights around the centres of the cells."""
  weights = np.exp(-0.5 * np.square(_offsets(size, cell_px) / sigma_px))
  return (weights / weights.sum(1, keepdims=True)).astype(np.float32)


@functools.cache
def _slope(size, sigma_px):
  """[size, size] weights that fit a slope under a Gaussian, times sigma."""
  offsets = _offsets(size, 1)
  weights = np.exp(-0.5 * np.square(offsets / sigma_px))
  weights /= weights.sum(1, keepdims=True)
  offsets = offsets - (weights * offsets).sum(1, keepdims=True)
  power = (weights * np.square(offsets)).sum(1, keepdims=True)
  return (sigma_px * weights * offsets / power).astype(np.float32)


def _offsets(size, cell_px):
  """[size / cell, size] distances of pixels from the centres of cells."""
  centres = np.arange(size // cell_px) * cell_px + (cell_px - 1) / 2
  return np.arange(size) - centres[:, None]


@functools.cache
def _random_kernels():
  """Draws [3, 3, C, D] orthogonal weights that keep the power of features."""
  rng, kernels = np.random.default_rng(0), []
  for i, (channels, width) in enumerate(itertools.pairwise(_WIDTHS)):
    basis = np.linalg.qr(rng.normal(size=(9 * channels, width)))[0]
    kernel = basis.reshape(3, 3, channels, width)
    if i == 0:
      kernel = kernel - kernel.mean((0, 1), keepdims=True)
    # Rectifiers lose half of the power, sums over 9 C of unit columns gain.
    kernels.append((math.sqrt(2) * kernel).astype(np.float32))
  return kernels


KINDS: dict[str, Callable[[jax.Array], jax.Array]] = {
  "gradients": gradients,
  "pyramid": pyramid,
  "random_vgg": random_vgg,
}
