"""The upper bound: the same network, trained with the labels."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax

from facerep_jax import cli, sharding
from facerep_jax.evaluators import feature_roles
from facerep_jax.inference import api
from facerep_jax.systems import base

# Regressed, each in standard deviations of the training images; and classes.
_NUMBERS = (
  "landmarks_ndc", "yaw_rad", "pitch_rad", "roll_rad", "action_units", "light",
)  # fmt: skip
_CLASSES = ("expression", "identity")


@dataclasses.dataclass(frozen=True)
class Recipe:
  """How the upper bound is trained.

  Attributes:
    steps: Updates.
    batch_size: Images of one.
    learning_rate: Of Adam, at the start; it falls to zero as a cosine.
    shift: Largest move of an image, share of its side.
    colour: Brightness and contrast change by up to this.
    seed: Of heads and batches.
  """

  steps: int = 3000
  batch_size: int = 64
  learning_rate: float = 1e-3
  shift: float = 0.06
  colour: float = 0.3
  seed: int = 0


def train(
  config,
  pixels: np.ndarray,
  labels: dict[str, np.ndarray],
  recipe: Recipe = Recipe(),
) -> api.Representation:
  """Trains a network with all the labels there are, from random weights.

  Args:
    config: Of a run; its system is what is trained.
    pixels: [N, S, S, 3] uint8, crops of the training images.
    labels: Of these, [N, ...]; what is not among landmarks_ndc, yaw_rad,
      pitch_rad, roll_rad, action_units, light, expression and identity takes
      no part.
    recipe: How.

  Returns:
    The trained network; its features are what linear heads, trained with it,
    read the labels from.
  """
  model = api.untrained(config)
  numbers, classes = _targets(labels)
  optimizer = optax.adam(
    optax.cosine_decay_schedule(recipe.learning_rate, recipe.steps)
  )
  scales = {name: _scale(value) for name, value in numbers.items()}
  step = sharding.jit_train_step(
    _step(model.system, scales, tuple(classes), optimizer), model.mesh
  )
  state = _start(model, numbers, classes, optimizer, recipe.seed)
  rng = np.random.default_rng(recipe.seed)
  rows = sharding.round_up(recipe.batch_size, model.mesh)
  frozen = model.variables.frozen
  with cli.Progress(recipe.steps, "steps", "images") as bar:
    for _ in range(recipe.steps):
      batch = _draw(rng, pixels, numbers, classes, rows, recipe)
      batch = sharding.put_batch(batch, model.mesh)
      state, _ = step(state, frozen, batch, {})
      bar.advance(1, rows)
  params, model_state, _ = state
  variables = base.Variables(params["network"], model_state, frozen)
  return api.Representation(
    config, model.system, variables, recipe.steps, model.mesh.devices.ravel()
  )


def _targets(labels):
  """Returns numbers [N, K] float32 and classes [N] int, by name."""
  numbers, classes = {}, {}
  for name in _NUMBERS:
    if name in labels:
      value = np.reshape(labels[name], (len(labels[name]), -1))
      numbers[name] = value.astype(np.float32)
  for name in _CLASSES:
    if name in labels:
      _, classes[name] = np.unique(labels[name], return_inverse=True)
  return numbers, classes


def _scale(value):
  """Returns mean and deviation of each column, [K]; constants count as 1."""
  deviation = value.std(axis=0)
  return value.mean(axis=0), np.where(deviation > 0, deviation, np.float32(1))


def _start(model, numbers, classes, optimizer, seed):
  """Returns the parameters with heads, the model's state and Adam's."""
  size = model.size_px
  features = model.embed(
    np.zeros((1, size, size, 3), np.uint8), is_cropped=True
  )
  width = _seen_by_heads(features).shape[1]
  outputs = {name: value.shape[1] for name, value in numbers.items()}
  outputs |= {name: value.max() + 1 for name, value in classes.items()}
  keys = jax.random.split(jax.random.key(seed), len(outputs))
  heads = {
    name: {
      "kernel": jax.random.normal(key, (width, outputs[name])) / width**0.5,
      "bias": jnp.zeros(outputs[name]),
    }
    for name, key in zip(sorted(outputs), keys)
  }
  params = {"network": model.variables.params, "heads": heads}
  state = (params, model.variables.model_state, optimizer.init(params))
  # The step gives its state's memory back, the model's must stay.
  state = jax.tree.map(jnp.copy, state)
  return jax.device_put(state, sharding.replicated(model.mesh))


def _seen_by_heads(features):
  """Joins the features that are no part of another."""
  names = sorted(features.keys() - set(feature_roles.REPEATED))
  return jnp.concatenate([features[name] for name in names], axis=-1)


def _draw(rng, pixels, numbers, classes, rows, recipe):
  """Draws a batch with moved and recoloured images."""
  size = pixels.shape[1]
  chosen = rng.integers(0, len(pixels), rows)
  far = round(recipe.shift * size)
  x, y = rng.integers(0, 2 * far + 1, (2, rows))
  gain = rng.uniform(1 - recipe.colour, 1 + recipe.colour, (2, rows, 1))
  # Each picture has 256 levels, far fewer than pixels.
  levels = (np.arange(256) - 128) * gain[0] + 128 * gain[1]
  levels = (np.clip(levels, 0, 255) / 255).astype(np.float32)
  images = np.empty((rows, *pixels.shape[1:]), np.float32)
  # Beyond the edge its pixels are repeated.
  right, down = np.clip(
    np.arange(size) + (np.stack([x, y]) - far)[..., None], 0, size - 1
  )
  for row, one in enumerate(chosen):
    shown = pixels[one, down[row]].take(right[row], axis=1)
    levels[row].take(shown, out=images[row], mode="clip")
  moved = np.stack([far - x, far - y], axis=-1) * (2 / size)
  batch = {name: value[chosen] for name, value in (numbers | classes).items()}
  if "landmarks_ndc" in batch:
    points = batch["landmarks_ndc"].reshape(rows, -1, 2) + moved[:, None]
    batch["landmarks_ndc"] = points.reshape(rows, -1).astype(np.float32)
  batch["images"] = images
  return batch


def _step(system, scales, classes, optimizer):
  """Returns the update of (params, model_state, optimizer's state)."""

  def loss_fn(params, model_state, frozen, batch):
    variables = base.Variables(params["network"], model_state, frozen)
    features, model_state = system.represent(
      variables, batch["images"], jax.random.key(0), train=True
    )
    x = _seen_by_heads(features)
    total = 0.0
    for name, head in params["heads"].items():
      out = x @ head["kernel"] + head["bias"][None]
      if name in classes:
        each = optax.softmax_cross_entropy_with_integer_labels(out, batch[name])
      else:
        mean, deviation = (value[None] for value in scales[name])
        each = jnp.square(out - (batch[name] - mean) / deviation)
      total += jnp.mean(each)
    return total, model_state

  def step(state, frozen, batch, control):
    del control
    params, model_state, moments = state
    (loss, model_state), gradient = jax.value_and_grad(loss_fn, has_aux=True)(
      params, model_state, frozen, batch
    )
    update, moments = optimizer.update(gradient, moments)
    params = optax.apply_updates(params, update)
    return (params, model_state, moments), loss

  return step
