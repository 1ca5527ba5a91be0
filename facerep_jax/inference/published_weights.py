"""Published weights as models of this library: arrays, and their settings.

The settings are those of the preset that is the published recipe, with the
sizes that the arrays have.
"""

import contextlib
import os
from typing import NamedTuple

import flax.traverse_util
import ml_collections
import numpy as np

from facerep_jax import errors
from facerep_jax.configs import fabnet as fabnet_config
from facerep_jax.configs import latentface as latentface_config
from facerep_jax.convert import fabnet, rdm, torch_file, unsup3d, vgg16, weights
from facerep_jax.inference import weight_file
from facerep_jax.models import published, vgg
from facerep_jax.runs import stages
from facerep_jax.systems import base, diffusion_settings

KINDS = ("fabnet", "unsup3d", "latentface", "vgg16")
# Networks of the first stage that features and pictures come from, and the
# outputs that they must have.
_OUTPUTS = {"netD": 1, "netA": 3, "netL": 4, "netV": 6}
_CONFIDENCE = "netC"
_SIZES = ("size_px", "width", "code_dim", "vector_width", "hidden_dim")


class Model(NamedTuple):
  """Published weights as a model.

  Attributes:
    config: As of a run, or of one of its stages.
    variables: Its arrays, NumPy float32.
    sizes: Settings that were read from shapes, a line each; with the published
      value where that is another one.
    assumed: What no array tells and the published code says, a line each.
    left_out: What else is in the file, by its names there.
  """

  config: ml_collections.ConfigDict
  variables: base.Variables
  sizes: tuple[str, ...]
  assumed: tuple[str, ...]
  left_out: tuple[str, ...]


def read(
  path: str | os.PathLike, kind: str, first: str | os.PathLike = ""
) -> Model:
  """Reads a file of published weights of a system.

  Args:
    path: File of torch, safetensors or NumPy.
    kind: "fabnet", "unsup3d" or "latentface".
    first: Of "latentface" alone, the file with the first stage: one of this
      library, or a published one; needed where `path` has the denoisers alone.

  Returns:
    The model.

  Raises:
    InputError: A file cannot be read, or names in it are missing, unexpected or
      of another shape; all that are wrong are listed.
  """
  checkpoint = torch_file.read(path)
  with _naming(path):
    if kind == "fabnet":
      return _fabnet(checkpoint)
    if kind == "unsup3d":
      return _unsup3d(checkpoint)
    return _latentface(checkpoint, first)


def read_vgg16(path: str | os.PathLike) -> dict[str, np.ndarray]:
  """Reads what the perceptual loss needs of torchvision's VGG16.

  Args:
    path: File of torch, safetensors or NumPy.

  Returns:
    torchvision's names to the arrays of the first seven convolutions, float32,
    in torch's layouts.

  Raises:
    InputError: The file cannot be read, or holds something else; all that is
      wrong is listed.
  """
  state = torch_file.read(path)
  with _naming(path):
    params = vgg16.from_torch(state)
    found, wanted = vgg16.widths(state), vgg.Vgg16Features().widths
    if found != wanted:
      raise errors.InputError(
        f"expected VGG16 with {wanted} channels, got {found}. Take "
        "torchvision's file."
      )
  return vgg16.to_torch(params)


@contextlib.contextmanager
def _naming(path):
  """Lets errors say in which file they are."""
  try:
    yield
  except errors.InputError as error:
    raise errors.InputError(f"{path}: {error}") from error


def _fabnet(checkpoint):
  """Converts FAb-Net; the released weights are those of three sources."""
  key = fabnet.key_of(checkpoint)
  state = fabnet.state_of(checkpoint)
  found, sizes = fabnet.from_torch(state), fabnet.sizes(state)
  config = fabnet_config.get_config("sources")
  sizes["size_px"] = sizes.pop("size")
  said = _beside(sizes, config.model)
  config.model.update(sizes)
  base.build(config)  # Checks the sizes.
  assumed = _settings(
    config.model, ("num_sources", "align_corners", "upsample_align_corners")
  )
  others = () if key is None else [str(x) for x in checkpoint if x != key]
  variables = base.Variables(found["params"], found["batch_stats"], {})
  return Model(config, variables, said, assumed, tuple(sorted(others)))


def _unsup3d(checkpoint):
  """Converts the first stage of LatentFace, which is Unsup3D."""
  states = weights.split(checkpoint, unsup3d.NETS)
  nets = [*_OUTPUTS, *(x for x in (_CONFIDENCE,) if x in states)]
  params = unsup3d.from_torch(checkpoint, nets)
  modules = {net: unsup3d.read_model(net, states[net]) for net in nets}
  config = stages.config_of(
    latentface_config.get_config("paper"), base.STAGES["latentface"][0]
  )
  sizes = _sizes(modules)
  said = _beside(sizes, config.model)
  config.model.update(sizes)
  base.build(config)
  params.pop(unsup3d.NETS[_CONFIDENCE], None)
  assumed = _settings(
    config.model,
    ("num_groups", "image_formation", "pixel_grid", "normal_border")
    + ("max_angle_deg", "max_shift"),
  )
  others = _others(checkpoint, _OUTPUTS)
  variables = base.Variables(params, {}, {})
  return Model(config, variables, said, assumed, others)


def _sizes(modules):
  """Reads the settings that the networks of the first stage share."""
  maps, vectors = ("netD", "netA"), ("netL", "netV")
  kinds = {
    "size_px": ("size_px", tuple(modules)),
    "width": ("width", maps),
    "code_dim": ("code_dim", maps),
    "vector_width": ("width", vectors),
    "hidden_dim": ("hidden_dim", vectors),
  }
  out, problems = {}, []
  for setting, (field, nets) in kinds.items():
    found = {net: getattr(modules[net], field) for net in nets}
    out[setting] = found[nets[0]]
    if len(set(found.values())) > 1:
      said = ", ".join(f"{net} {value}" for net, value in found.items())
      problems.append(f"{setting}: expected one for all, got {said}")
  for net, wanted in _OUTPUTS.items():
    field = "out_channels" if net in maps else "num_out"
    if (got := getattr(modules[net], field)) != wanted:
      problems.append(f"{net}: expected {wanted} outputs, got {got}")
  if problems:
    raise errors.InputError("; ".join(problems) + ".")
  if _CONFIDENCE in modules:
    net = modules[_CONFIDENCE]
    out |= {"confidence_width": net.width, "confidence_code_dim": net.code_dim}
  return out


def _latentface(checkpoint, first):
  """Converts both stages; the second stage's file holds the first one too."""
  parts = {
    "first": lambda: _first_stage(checkpoint, first),
    "second": lambda: rdm.from_checkpoint(checkpoint),
  }
  before, params = weights.of_each(parts, lambda name: parts[name]()).values()
  config = _second_config(before.config, checkpoint)
  base.build(config)
  size = config.model.autoencoder.code_dim
  statistics = {
    name: {
      "mean": np.zeros(size, np.float32),
      "deviation": np.ones(size, np.float32),
    }
    for name in diffusion_settings.NETWORKS
  }
  frozen = {"autoencoder": before.variables.params, "statistics": statistics}
  assumed = _settings(
    config.model,
    ("num_groups", "standardise", "prediction", "num_train_steps")
    + ("beta_first", "beta_last", "sampler_steps", "direction", "spacing")
    + ("sampler_clip",),
  )
  used = (*rdm.NETS, *(() if first else _OUTPUTS))
  said = _width(config.model.width)
  return Model(
    config,
    base.Variables(params, {}, frozen),
    (*(f"autoencoder.{x}" for x in before.sizes), said),
    (*(f"autoencoder.{x}" for x in before.assumed), *assumed),
    _others(checkpoint, used),
  )


def _first_stage(checkpoint, first):
  """Finds the first stage: in the checkpoint, or in a file of its own."""
  has_some = bool(weights.split(checkpoint, _OUTPUTS))
  if has_some and first:
    raise errors.InputError(
      f"the file has the first stage itself, and so has --first={first}. Leave "
      "one of them out."
    )
  if has_some:
    return _unsup3d(checkpoint)
  if not first:
    raise errors.InputError(
      f"holds no network of the first stage ({', '.join(_OUTPUTS)}). Give the "
      "file with it as --first=FILE."
    )
  if not weight_file.is_one(first):
    return read(first, "unsup3d")
  found = weight_file.read(first)
  kind = found.config.system, found.config.get("stage", "")
  if kind != ("latentface", base.STAGES["latentface"][0]):
    raise errors.InputError(
      f"--first={first}: expected LatentFace's first stage, got "
      f"{' '.join(kind).strip()}."
    )
  sizes = _settings(found.config.model, _SIZES)
  return Model(found.config, found.variables, sizes, (), ())


def _width(width):
  """Says the width of the denoisers, of which two were published."""
  known = published.denoiser_128().width, published.denoiser_1024().width
  if width in known:
    return f"width={width}"
  return f"width={width} (published: {known[0]} or {known[1]})"


def _second_config(before, checkpoint):
  """Returns the published settings of the second stage, of these sizes."""
  states = weights.split(checkpoint, rdm.NETS)
  sizes = {net: rdm.sizes(states[net], net) for net in rdm.NETS}
  wanted = {
    "code_dim": before.model.code_dim,
    "width": sizes["netEA"]["width"],
  }
  problems = [
    f"{net}: expected {key} {wanted[key]}, as of the other networks, got {got}"
    for net, found in sizes.items()
    for key, got in found.items()
    if got != wanted[key]
  ]
  if problems:
    raise errors.InputError("; ".join(problems) + ".")
  config = latentface_config.get_config("paper")
  # What stands in the first stage's config is what its networks need.
  config.autoencoder.model = before.model
  config.data.crop = before.data.crop
  config.diffusion.model.width = wanted["width"]
  return stages.config_of(config, base.STAGES["latentface"][1])


def _beside(sizes, published_model):
  """Says sizes, and the published ones where they differ."""
  lines = []
  for name, value in sizes.items():
    wanted = published_model[name]
    end = "" if value == wanted else f" (published: {wanted})"
    lines.append(f"{name}={value}{end}")
  return tuple(lines)


def _settings(model, names):
  """Says what some settings are."""
  return tuple(f"{name}={model[name]!r}" for name in names)


def _others(checkpoint, used):
  """Names what a checkpoint has beside some networks."""
  found = set()
  for path in flax.traverse_util.flatten_dict(dict(checkpoint)):
    parts = ".".join(map(str, path)).replace("/", ".").split(".")
    if not set(parts) & set(used):
      found.add(parts[0])
  return tuple(sorted(found))
