"""How close reconstructed images are to the true ones."""

import numpy as np

from facerep_jax import errors
from facerep_jax.evaluators import base, bootstrap

_WINDOW_PX = 11


def measure(
  predicted: np.ndarray,
  target: np.ndarray,
  group: np.ndarray,
  seed: int = 0,
) -> base.Measured:
  """Measures reconstructed images.

  Source: SSIM of Wang et al. 2004, with a Gaussian window of deviation 1.5 px
    (11 px wide), mean over colours.

  Args:
    predicted: [N, H, W, 3] float, [0, 1]; 11 px or more each way.
    target: [N, H, W, 3] float, [0, 1].
    group: [N], the person of each row.
    seed: Of the bootstrap.

  Returns:
    Scores, means over images: `l1`, the absolute error of a channel; `psnr` in
    dB, infinite as soon as one image is exact; `ssim`. Quality: `l1`, negative.
    Details are empty.

  Raises:
    InputError: Shapes or ranges do not fit.
  """
  predicted, target = np.asarray(predicted), np.asarray(target)
  errors.check_shape("target", target, "N H W 3", "Use NHWC.")
  errors.check_shape("predicted", predicted, " ".join(map(str, target.shape)))
  if min(target.shape[1:3]) < _WINDOW_PX:
    raise errors.InputError(
      f"target: images of {target.shape[2]} x {target.shape[1]} px, expected "
      f"{_WINDOW_PX} px or more each way."
    )
  for name, images in (("predicted", predicted), ("target", target)):
    if not (images.min(initial=0) >= 0 and images.max(initial=1) <= 1):
      raise errors.InputError(
        f"{name}: expected values in [0, 1], got {images.min()} to "
        f"{images.max()}."
      )
  l1, psnr, ssim = np.array(
    [_compare(*pair) for pair in zip(predicted, target)]
  ).T
  # Not by sums over people: 0 draws of an infinite value are none.
  mean_psnr = lambda w: float(np.average(psnr[w > 0], weights=w[w > 0]))
  scores = {
    "l1": bootstrap.score(l1, group, "", False, seed),
    "psnr": bootstrap.score(mean_psnr, group, "dB", True, seed),
    "ssim": bootstrap.score(ssim, group, "", True, seed),
  }
  return base.Measured(scores, -l1, {})


def _compare(predicted, target):
  """Returns L1, PSNR and SSIM of one image."""
  predicted, target = predicted.astype(np.float64), target.astype(np.float64)
  metrics = errors.require("skimage.metrics", "evaluation", "SSIM")
  square = np.mean((predicted - target) ** 2)
  return (
    np.mean(np.abs(predicted - target)),
    -10 * np.log10(square) if square > 0 else np.inf,
    metrics.structural_similarity(
      predicted,
      target,
      data_range=1,
      channel_axis=-1,
      gaussian_weights=True,
      sigma=1.5,
      use_sample_covariance=False,
    ),
  )
