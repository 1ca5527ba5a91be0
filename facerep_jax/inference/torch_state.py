"""Models of this library by the names of the published PyTorch code."""

from typing import NamedTuple

import jax
import ml_collections
import numpy as np

from facerep_jax import errors
from facerep_jax.configs import latentface as latentface_config
from facerep_jax.convert import fabnet, rdm, unsup3d
from facerep_jax.systems import base

# Settings that change what the same arrays compute, and which the published
# code has at one value. Sizes are not among them: arrays tell those.
_FIRST = ("decoder", "light_and_view", "num_groups", "depth_gain",
          "depth_prior", "max_angle_deg", "max_shift")  # fmt: skip
_SECOND = ("num_groups", "standardise", "prediction", "num_train_steps",
           "beta_first", "beta_last")  # fmt: skip


class State(NamedTuple):
  """A model's arrays under torch's names.

  Attributes:
    kind: Whose names these are: "fabnet", "unsup3d" or "latentface".
    arrays: torch's names to float32 arrays in torch's layouts. Of LatentFace
      the network's name and a dot stand before each name of its state dict.
    lacking: Networks of the published code that the model does not have.
  """

  kind: str
  arrays: dict[str, np.ndarray]
  lacking: tuple[str, ...]


def of_model(
  config: ml_collections.ConfigDict, variables: base.Variables, kind: str = ""
) -> State:
  """Converts a model.

  Args:
    config: Of a run without stages, or of one stage.
    variables: Its arrays, float32.
    kind: Whose names to use: "fabnet"; of LatentFace's first stage "unsup3d",
      the default, or "latentface"; of its second one "latentface".

  Returns:
    The arrays, as they are: nothing is rounded.

  Raises:
    InputError: The published code has no such model, or other names for it; all
      settings that differ are listed.
  """
  system, stage = config.system, config.get("stage", "")
  known = {
    ("fabnet", ""): ("fabnet",),
    ("latentface", "autoencoder"): ("unsup3d", "latentface"),
    ("latentface", "diffusion"): ("latentface",),
  }.get((system, stage), ())
  if not known or (kind or known[0]) not in known:
    raise errors.InputError(
      f"{' '.join((system, stage)).strip()} with --kind={kind or 'none'}: "
      f"expected --kind={' or '.join(known)}."
      if known
      else f"{system}: the published code has no such system."
    )
  variables = jax.device_get(variables)
  if system == "fabnet":
    return _fabnet(variables)
  _check(config, stage)
  if stage == "autoencoder":
    return _first_stage(variables.params | variables.frozen, kind or known[0])
  before = _first_stage(variables.frozen["autoencoder"], "latentface")
  denoisers = {
    net: rdm.to_torch(variables.params[name]) for net, name in rdm.NETS.items()
  }
  return before._replace(arrays=_flat(denoisers) | before.arrays)


def _fabnet(variables):
  params = variables.params | variables.frozen
  found = {"params": params, "batch_stats": variables.model_state}
  lacking = () if "mask_decoder" in params else ("mask",)
  return State("fabnet", fabnet.to_torch(found), lacking)


def _first_stage(params, kind):
  states = unsup3d.to_torch(params, is_joined=kind == "unsup3d")
  lacking = tuple(net for net in unsup3d.NETS if net not in states)
  return State(kind, _flat(states), lacking)


def _flat(states):
  """Puts the networks' names before those of their arrays."""
  return {
    f"{net}.{name}": value
    for net, state in states.items()
    for name, value in state.items()
  }


def _check(config, stage):
  """Lists the settings that the published code does not know."""
  published = latentface_config.get_config("paper")
  problems = []

  def compare(model, wanted, names, prefix):
    problems.extend(
      f"{prefix}{name}={model[name]!r} (there {wanted[name]!r})"
      for name in names
      if model[name] != wanted[name]
    )

  first = config.model if stage == "autoencoder" else config.model.autoencoder
  compare(first, published.autoencoder.model, _FIRST, "autoencoder.model.")
  if stage == "diffusion":
    compare(
      config.model, published.diffusion.model, _SECOND, "diffusion.model."
    )
  if problems:
    raise errors.InputError(
      "the published code computes something else from such arrays: "
      f"{', '.join(problems)}. Only models with its settings can be converted."
    )
