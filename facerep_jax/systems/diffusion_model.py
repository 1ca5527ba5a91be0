"""Denoises codes of faces: what of a code belongs to the person."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from facerep_jax.models import initial, unet
from facerep_jax.ops import diffusion
from facerep_jax.systems import autoencoder, base, diffusion_settings


class Model(NamedTuple):
  """What the stage is made of.

  Attributes:
    settings: Of the stage.
    first: The system of the stage before, whose parameters are frozen.
    nets: A denoiser for each code.
    alpha_bars: [num_train_steps] float32, share of signal by step.
  """

  settings: diffusion_settings.Settings
  first: base.System
  nets: dict[str, unet.CodeUNet]
  alpha_bars: np.ndarray


def make(settings: diffusion_settings.Settings) -> Model:
  """Builds the networks, without parameters."""
  # Features of pictures are for the training of the first stage alone.
  before = dict(settings.autoencoder) | {"perceptual": "none"}
  net = unet.CodeUNet(
    code_dim=before["code_dim"],
    width=settings.width,
    num_groups=settings.num_groups,
    dtype=jnp.dtype(settings.dtype),
  )
  return Model(
    settings,
    autoencoder.make(dtype=settings.dtype, **before),
    {name: net for name in diffusion_settings.NETWORKS},
    diffusion.linear_schedule(
      settings.num_train_steps, settings.beta_first, settings.beta_last
    ),
  )


@initial.drawn_together
def init(model: Model, key: jax.Array) -> base.Variables:
  """Draws random parameters, of the frozen stage too.

  Args:
    model: What to draw them for.
    key: Root key.

  Returns:
    `params`: by network. `frozen`: `autoencoder`, all networks of the stage
    before; `statistics`, by network `mean` and `deviation` [D] of the codes (0
    and 1 until they are measured); with the setting, `wccn`, as of
    `training.wccn.fit` (0 and the identity until it is measured).
  """
  size = model.settings.autoencoder["code_dim"]
  code, step = jnp.zeros((1, size)), jnp.zeros((1,), jnp.int32)
  params = {
    name: net.init(jax.random.fold_in(key, i), code, code, step)["params"]
    for i, (name, net) in enumerate(model.nets.items())
  }
  before = model.first.init(jax.random.fold_in(key, len(model.nets)))
  statistics = {
    name: {"mean": jnp.zeros(size), "deviation": jnp.ones(size)}
    for name in model.nets
  }
  frozen = {
    "autoencoder": before.params | before.frozen,
    "statistics": statistics,
  }
  if model.settings.wccn:
    both = len(model.nets) * size
    frozen["wccn"] = {"mean": jnp.zeros(both), "map": jnp.eye(both)}
  return base.Variables(params, {}, frozen)


def of_first(variables: base.Variables) -> base.Variables:
  """Returns what the functions of the stage before take."""
  return base.Variables(variables.frozen["autoencoder"], {}, {})


def encode(
  model: Model, variables: base.Variables, images01: jax.Array
) -> dict[str, jax.Array]:
  """Finds the codes of images.

  Args:
    model: Networks and settings.
    variables: Their parameters.
    images01: [N, S, S, 3] float32, [0, 1].

  Returns:
    As the stage before represents images.
  """
  unused = jax.random.key(0)  # Nothing in it is drawn at random.
  return model.first.represent(of_first(variables), images01, unused)[0]


def standardise(frozen: base.PyTree, name: str, code: jax.Array) -> jax.Array:
  """Scales codes [..., D] to what the network `name` sees."""
  known = frozen["statistics"][name]
  shape = (1,) * (code.ndim - 1) + (-1,)
  return (code - known["mean"].reshape(shape)) / known["deviation"].reshape(
    shape
  )


def denoise(
  model: Model,
  variables: base.Variables,
  name: str,
  code: jax.Array,
  key: jax.Array,
) -> jax.Array:
  """Samples what the network takes for the mean code of the face's track.

  Every row starts from the same noise, so that its result depends neither on
  its place nor on its neighbours.

  Source: arXiv 2309.08273, section 3.2; the authors' evaluation code.
  Differs: theirs draws other noise for every row and call.

  Args:
    model: Networks and settings.
    variables: Their parameters.
    name: Which network.
    code: [N, D] float32.
    key: Of the noise.

  Returns:
    [N, D] float32, in units of `code`; not limited to what codes can be.
  """
  settings, known = model.settings, variables.frozen["statistics"][name]
  seen = standardise(variables.frozen, name, code)
  noise = jax.random.normal(key, (1, code.shape[1]))

  def predict(noisy, step):
    params = {"params": variables.params[name]}
    return model.nets[name].apply(params, noisy, seen, step)

  found = diffusion.ddim(
    predict,
    jnp.broadcast_to(noise, code.shape),
    alpha_bars=model.alpha_bars,
    num_steps=settings.sampler_steps,
    prediction=settings.prediction,
    direction=settings.direction,
    spacing=settings.spacing,
    clip=settings.sampler_clip,
  )
  return found.clean * known["deviation"][None] + known["mean"][None]


def encode_with_neutral(
  model: Model,
  variables: base.Variables,
  images01: jax.Array,
  key: jax.Array,
) -> dict[str, jax.Array]:
  """Finds the codes of images, and those of the person alone.

  Args:
    model: Networks and settings.
    variables: Their parameters.
    images01: [N, S, S, 3] float32, [0, 1].
    key: Of the noise from which sampling starts.

  Returns:
    See `base.Faces`, with neutral codes.
  """
  found = encode(model, variables, images01)
  for i, name in enumerate(model.nets):
    noise_key = jax.random.fold_in(key, i)
    code = found[f"{name}_code"]
    found[f"neutral_{name}_code"] = denoise(
      model, variables, name, code, noise_key
    )
  return found


def normalise_within(
  model: Model,
  variables: base.Variables,
  image: dict[str, jax.Array],
  mirror: dict[str, jax.Array],
) -> jax.Array:
  """Maps codes to where a person's frames lie close together.

  Args:
    model: Networks and settings, with `wccn`.
    variables: Their parameters.
    image: Codes of images, as of `encode`.
    mirror: Codes of their mirror images.

  Returns:
    [N, 2 D] float32; the same for an image and its mirror image.
  """
  known = variables.frozen["wccn"]
  codes = jnp.concatenate(
    [(image[x] + mirror[x]) / 2 for x in code_names(model)], axis=-1
  )
  return (codes - known["mean"][None]) @ known["map"]


def code_names(model: Model) -> tuple[str, ...]:
  """Returns the names of the codes that people are told by, in order."""
  return tuple(f"{name}_code" for name in model.nets)
