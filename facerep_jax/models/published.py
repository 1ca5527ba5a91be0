"""The networks at their published sizes, by name."""

import jax.numpy as jnp
from jax.typing import DTypeLike

from facerep_jax.models import fabnet, unet, unsup3d, vgg


def fabnet_256(dtype: DTypeLike = jnp.float32) -> fabnet.FabNet:
  """FAb-Net for frames of 256 px, codes of 256 numbers.

  Source: arXiv 1808.06882; models_multiview.py, FrontaliseModelMasks_wider.

  Args:
    dtype: Compute type.
  """
  return fabnet.FabNet(size=256, width=32, embed_dim=256, dtype=dtype)


def latentface_64(
  dtype: DTypeLike = jnp.float32,
) -> dict[str, unsup3d.MapNet | unsup3d.VectorNet | unsup3d.ConfidenceNet]:
  """LatentFace's stage 1, and Unsup3D, for images of 64 px.

  Source: arXiv 2309.08273, section 3.1, and arXiv 1911.11130; unsup3d/model.py.

  Args:
    dtype: Compute type.

  Returns:
    The networks `depth`, `albedo`, `light`, `view` and `confidence`.
  """
  return {
    "depth": unsup3d.MapNet(
      size_px=64, width=64, code_dim=256, out_channels=1, dtype=dtype
    ),
    "albedo": unsup3d.MapNet(
      size_px=64,
      width=64,
      code_dim=256,
      out_channels=3,
      use_tanh=True,
      dtype=dtype,
    ),
    "light": unsup3d.VectorNet(size_px=64, width=32, num_out=4, dtype=dtype),
    "view": unsup3d.VectorNet(size_px=64, width=32, num_out=6, dtype=dtype),
    "confidence": unsup3d.ConfidenceNet(
      size_px=64, width=64, code_dim=128, dtype=dtype
    ),
  }


def denoiser_128(dtype: DTypeLike = jnp.float32) -> unet.CodeUNet:
  """LatentFace's denoiser of codes of 256 numbers, 128 channels wide.

  Source: arXiv 2309.08273, section 3.2, and the authors' code.

  Args:
    dtype: Compute type.
  """
  return unet.CodeUNet(code_dim=256, width=128, dtype=dtype)


def denoiser_1024(dtype: DTypeLike = jnp.float32) -> unet.CodeUNet:
  """Likewise, 1,024 channels wide.

  Source: as for `denoiser_128`.

  Args:
    dtype: Compute type.
  """
  return unet.CodeUNet(code_dim=256, width=1024, dtype=dtype)


def vgg16_relu3_3(dtype: DTypeLike = jnp.float32) -> vgg.Vgg16Features:
  """VGG16 up to relu3_3, the features of the perceptual loss.

  Source: Simonyan and Zisserman, arXiv 1409.1556; torchvision's `vgg16`.

  Args:
    dtype: Compute type.
  """
  return vgg.Vgg16Features(dtype=dtype)
