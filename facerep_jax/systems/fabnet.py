"""FAb-Net: learns a code of a face by warping one frame into another.

Source: Wiles, Koepke, Zisserman, BMVC 2018 (arXiv 1808.06882), and the authors'
published code.
"""

import collections
import functools

import jax.numpy as jnp

from facerep_jax import errors, losses, setting_ranges
from facerep_jax.models import fabnet, initial
from facerep_jax.ops import colour, image_range
from facerep_jax.systems import base


def make(
  *,
  size_px: int,
  width: int,
  embed_dim: int,
  num_sources: int,
  use_mask: bool,
  align_corners: bool,
  upsample_align_corners: bool,
  frozen: tuple[str, ...],
  dtype: str,
  batch_norm_groups: int = 1,
) -> base.System:
  """Builds the system.

  Args:
    size_px: Side of the frames, a power of two from 32.
    width: Channels of the first convolution.
    embed_dim: D, length of the code.
    num_sources: Frames from which the target is put together.
    use_mask: Whether the mask decoder runs; several sources need it.
    align_corners: Convention of the sampler.
    upsample_align_corners: Convention of the decoders' upsampling.
    frozen: Top-level parameter groups that do not learn, such as
      ("flow_decoder",); their normalisation still uses batch statistics.
    dtype: Compute type, "float32" or "bfloat16".
    batch_norm_groups: Groups of rows of a batch that are normalised apart in
      training; must divide the batch. Runs of earlier versions have one.

  Returns:
    The system. A sample's first frame is the target, the others are sources.

  Raises:
    InputError: A setting is out of range.
  """
  numbers = {
    "size_px": size_px,
    "width": width,
    "embed_dim": embed_dim,
    "num_sources": num_sources,
    "batch_norm_groups": batch_norm_groups,
  }
  _check(numbers, use_mask)
  net = fabnet.FabNet(
    size=size_px,
    width=width,
    embed_dim=embed_dim,
    align_corners=align_corners,
    upsample_align_corners=upsample_align_corners,
    dtype=jnp.dtype(dtype),
    norm_groups=batch_norm_groups,
  )
  warp = functools.partial(_warp, net, use_mask)
  return base.System(
    init=lambda key: _init(net, num_sources, frozen, key),
    loss_fn=lambda *args: _loss(warp, *args),
    eval_fn=lambda *args: _evaluate(warp, *args),
    represent=functools.partial(_represent, net),
    reconstruct=lambda *args: _reconstruct(warp, *args),
    pictures=lambda *args: _pictures(warp, use_mask, *args),
    num_frames=num_sources + 1,
    size_px=size_px,
  )


def _check(numbers, use_mask):
  setting_ranges.check(
    numbers,
    setting_ranges.MODELS["fabnet"],
    lambda key: f"config.model.{key}",
  )
  num_sources = numbers["num_sources"]
  if num_sources > 1 and not use_mask:
    raise errors.InputError(
      f"config.model.num_sources={num_sources}, use_mask={use_mask}: expected "
      "the mask when there are several sources."
    )


def _warp(net, use_mask, variables, frames, **kwargs):
  """Rebuilds the first frame of each sample from the others."""
  target, sources = frames[:, 0], frames[:, 1:]
  return net.apply(
    _collections(variables), target, sources, use_mask=use_mask, **kwargs
  )


@initial.drawn_together
def _init(net, num_sources, frozen, key):
  target = jnp.zeros((2, net.size, net.size, 3))
  sources = jnp.zeros((2, num_sources, net.size, net.size, 3))
  variables = net.init(key, target, sources, train=False)
  params = variables["params"]
  unknown = sorted(set(frozen) - set(params))
  if unknown or set(frozen) == set(params):
    raise errors.InputError(
      f"config.model.frozen={tuple(frozen)}: expected some, not all, of "
      f"{', '.join(sorted(params))}."
    )
  return base.Variables(
    {name: params[name] for name in params if name not in frozen},
    variables["batch_stats"],
    {name: params[name] for name in frozen},
  )


def _collections(variables):
  return {
    "params": variables.params | variables.frozen,
    "batch_stats": variables.model_state,
  }


def _loss(warp, params, frozen, model_state, batch, control, key):
  del key  # Nothing is drawn at random inside the network.
  frames = image_range.uint8_to_01(batch["frames"])
  variables = base.Variables(params, model_state, frozen)
  out, updated = warp(variables, frames, train=True, mutable=["batch_stats"])
  per_example = losses.l1_per_example(out["image"], frames[:, 0])
  loss = losses.band_mean(
    per_example, control["band_start"], control["band_stop"]
  )
  metrics = {"loss": loss, "loss_all_ranks": jnp.mean(per_example)}
  return loss, (updated["batch_stats"], metrics)


def _evaluate(warp, variables, batch):
  frames = image_range.uint8_to_01(batch["frames"])
  target, sources = frames[:, 0], frames[:, 1:]
  out = warp(variables, frames, train=False)
  warped = losses.l1_per_example(out["image"], target)
  copied = losses.l1_per_example(sources[:, 0], target)
  better = (warped < copied).astype(jnp.float32)
  weight = batch["weight"]
  total = jnp.sum(weight)
  return {
    "loss": (jnp.sum(warped * weight), total),
    "loss_copy": (jnp.sum(copied * weight), total),
    "share_better_than_copy": (jnp.sum(better * weight), total),
  }


def _represent(net, variables, images01, key, train=False):
  del key
  features, updated = net.apply(
    _collections(variables),
    images01,
    train=train,
    method="represent",
    mutable=["batch_stats"],
  )
  return features, updated["batch_stats"]


def _reconstruct(warp, variables, batch):
  frames = image_range.uint8_to_01(batch["frames"])
  out = warp(variables, frames, train=False)
  return {
    "target": frames[:, 0],
    "reconstruction": out["image"],
    "copy of the source": frames[:, 1],
  }


def _pictures(warp, use_mask, variables, batch):
  frames = image_range.uint8_to_01(batch["frames"])
  target = frames[:, 0]
  out = warp(variables, frames, train=False)
  error = jnp.abs(out["image"] - target)
  each = range(1, frames.shape[1])
  columns = [(f"source {s}", frames[:, s]) for s in each]
  columns += [("target", target), ("warped", out["image"])]
  columns += [
    (f"flow {s}", colour.flow_to_rgb(out["flow_ndc"][:, s - 1])) for s in each
  ]
  if use_mask:
    masks = out["attention"][..., None]
    columns += [
      (f"mask {s}", jnp.repeat(masks[:, s - 1], 3, axis=-1)) for s in each
    ]
  columns.append(("error x 3", jnp.minimum(1.0, 3 * error)))
  return collections.OrderedDict(columns)
