import jax
import jax.numpy as jnp
import numpy as np
import pytest

from facerep_jax import errors, losses
from facerep_jax.systems import base, fabnet

SETTINGS = {
  "size_px": 32,
  "width": 4,
  "embed_dim": 8,
  "num_sources": 1,
  "use_mask": False,
  "align_corners": True,
  "upsample_align_corners": False,
  "frozen": (),
  "dtype": "float32",
}
CONTROL = {"band_start": np.int32(1), "band_stop": np.int32(3)}


def make(**changes):
  system = fabnet.make(**SETTINGS | changes)
  return system, jax.jit(system.init)(jax.random.key(0))


def frames(rows, num_frames, seed=0):
  rng = np.random.default_rng(seed)
  coarse = rng.uniform(0, 255, (rows, num_frames, 4, 4, 3))
  return jax.image.resize(
    jnp.asarray(coarse, jnp.float32), (rows, num_frames, 32, 32, 3), "linear"
  ).astype(jnp.uint8)


@pytest.mark.parametrize("num_sources", [1, 2])
def test_loss_is_the_band_of_what_evaluation_sees(num_sources):
  system, variables = make(num_sources=num_sources, use_mask=num_sources > 1)
  assert system.num_frames == num_sources + 1
  batch = {"frames": frames(4, system.num_frames)}
  loss, (model_state, metrics) = jax.jit(system.loss_fn)(
    *(variables.params, variables.frozen, variables.model_state),
    *(batch, CONTROL, jax.random.key(0)),
  )
  assert metrics["loss"] == loss and metrics["loss_all_ranks"] > 0
  # The running statistics moved, of what ran and of nothing else.
  for name, before in variables.model_state.items():
    same = jax.tree.map(
      lambda a, b: bool((a == b).all()), before, model_state[name]
    )
    ran = name != "mask_decoder" or num_sources > 1
    assert not any(jax.tree.leaves(same)) if ran else all(jax.tree.leaves(same))
  # With batch statistics, evaluation of the pieces gives the same loss.
  columns = jax.jit(system.pictures)(variables, batch)
  per_example = losses.l1_per_example(columns["warped"], columns["target"])
  sums = jax.jit(system.eval_fn)(variables, batch | {"weight": jnp.ones(4)})
  np.testing.assert_allclose(sums["loss"][0], per_example.sum(), rtol=1e-5)


def test_padded_rows_do_not_count():
  system, variables = make()
  evaluate = jax.jit(system.eval_fn)
  full = {"frames": frames(2, 2), "weight": jnp.ones(2)}
  padded = {
    "frames": jnp.concatenate([full["frames"], frames(2, 2, seed=1)]),
    "weight": jnp.array([1.0, 1.0, 0.0, 0.0]),
  }
  a, b = evaluate(variables, full), evaluate(variables, padded)
  for name, (total, weight) in a.items():
    np.testing.assert_allclose(total, b[name][0], rtol=1e-5)
    assert weight == b[name][1] == 2


def test_copying_is_measured_against_the_first_source():
  system, variables = make()
  batch = {"frames": frames(3, 2), "weight": jnp.ones(3)}
  sums = jax.jit(system.eval_fn)(variables, batch)
  pixels = np.asarray(batch["frames"], np.float64) / 255
  want = np.abs(pixels[:, 0] - pixels[:, 1]).mean(axis=(1, 2, 3)).sum()
  np.testing.assert_allclose(sums["loss_copy"][0], want, rtol=1e-5)


def test_embedding_does_not_depend_on_the_rest_of_the_batch():
  system, variables = make()
  images = frames(5, 1)[:, 0].astype(jnp.float32) / 255
  represent = jax.jit(system.represent)
  key = jax.random.key(0)
  whole = represent(variables, images, key)[0]["embedding"]
  assert whole.shape == (5, 8)
  alone = represent(variables, images[2:3], key)[0]["embedding"]
  # Another batch size is another program: float32 rounding only.
  np.testing.assert_allclose(alone[0], whole[2], rtol=1e-4, atol=1e-6)


def test_spatial_feature_is_the_map_that_the_code_is_made_of():
  system, variables = make()
  images = frames(2, 1)[:, 0].astype(jnp.float32) / 255
  found = system.represent(variables, images, jax.random.key(0))[0]
  code, spatial = found["embedding"], found["spatial"]
  np.testing.assert_array_equal(spatial[:, -8:], code)
  # The layers behind the map, by hand: they lead from it to the code.
  last = np.asarray(spatial[:, :-8]).reshape(2, 4, 4, -1)
  layers, state = (
    jax.tree.map(np.asarray, part["encoder"])
    for part in (variables.params, variables.model_state)
  )
  for number in (3, 4):
    layer = layers[f"conv{number}"]
    last = _downsample(last, layer["kernel"], layer["bias"])
    if number == 3:
      norm, known = layers["norm3"], state["norm3"]
      scale = norm["scale"] / np.sqrt(known["var"] + 1e-5)
      last = (last - known["mean"]) * scale + norm["bias"]
      last = np.where(last > 0, last, 0.2 * last)
  np.testing.assert_allclose(last[:, 0, 0], code, rtol=1e-4, atol=1e-5)


def _downsample(x, kernel, bias):
  """A convolution of 4 x 4 with stride 2 and a border of 1, in loops."""
  padded = np.pad(x, [(0, 0), (1, 1), (1, 1), (0, 0)])
  side = x.shape[1] // 2
  out = np.zeros((len(x), side, side, kernel.shape[-1]))
  for i in range(side):
    for j in range(side):
      patch = padded[:, 2 * i : 2 * i + 4, 2 * j : 2 * j + 4]
      out[:, i, j] = np.tensordot(patch, kernel, 3)
  return out + bias


def test_training_features_are_of_batch_statistics():
  system, variables = make()
  images = frames(6, 1)[:, 0].astype(jnp.float32) / 255
  train = jax.jit(lambda *args: system.represent(*args, train=True))
  key = jax.random.key(0)
  found, model_state = train(variables, images, key)
  code = found["embedding"]
  assert code.shape == (6, 8) and code.dtype == jnp.float32
  # Unlike in evaluation, the code of an image depends on the batch.
  part, _ = train(variables, images[:3], key)
  assert not np.allclose(part["embedding"], code[:3], rtol=1e-3)
  # The encoder's statistics moved, those of the decoders stayed.
  for name, before in variables.model_state.items():
    same = jax.tree.leaves(
      jax.tree.map(lambda a, b: bool((a == b).all()), before, model_state[name])
    )
    assert not any(same) if name == "encoder" else all(same), name
  # Statistics that move on and on with one batch become that batch's.
  for _ in range(100):
    _, model_state = train(
      variables._replace(model_state=model_state), images, key
    )
  settled, _ = jax.jit(system.represent)(
    variables._replace(model_state=model_state), images, key
  )
  # Running variances are unbiased or not, by the layer's size: a few percent.
  np.testing.assert_allclose(
    settled["embedding"], code, atol=0.1 * float(jnp.abs(code).max())
  )


def test_reconstruction_is_what_evaluation_measures():
  system, variables = make(num_sources=2, use_mask=True)
  batch = {"frames": frames(3, 3), "weight": jnp.ones(3)}
  images = jax.jit(system.reconstruct)(variables, batch)
  assert {image.shape for image in images.values()} == {(3, 32, 32, 3)}
  pixels = np.asarray(batch["frames"], np.float32) / 255
  np.testing.assert_allclose(images["target"], pixels[:, 0], rtol=1e-6)
  np.testing.assert_allclose(
    images["copy of the source"], pixels[:, 1], rtol=1e-6
  )
  sums = jax.jit(system.eval_fn)(variables, batch)
  for name, key in [
    ("reconstruction", "loss"),
    ("copy of the source", "loss_copy"),
  ]:
    error = jnp.abs(images[name] - images["target"]).mean(axis=(1, 2, 3))
    # Two programs: float32 rounding only.
    np.testing.assert_allclose(sums[key][0], error.sum(), rtol=1e-5)


def test_frozen_parameters_get_no_gradient_but_have_their_effect():
  system, variables = make(
    num_sources=2, use_mask=True, frozen=("flow_decoder",)
  )
  assert set(variables.params) == {"encoder", "mask_decoder"}
  assert set(variables.frozen) == {"flow_decoder"}
  whole, all_variables = make(num_sources=2, use_mask=True)
  args = ({"frames": frames(4, 3)}, CONTROL, jax.random.key(0))
  frozen_loss, _ = jax.jit(system.loss_fn)(
    variables.params, variables.frozen, variables.model_state, *args
  )
  loss, _ = jax.jit(whole.loss_fn)(
    all_variables.params, {}, all_variables.model_state, *args
  )
  # Two programs: float32 rounding only.
  np.testing.assert_allclose(frozen_loss, loss, rtol=1e-6)


def test_pictures_are_pictures():
  system, variables = make(num_sources=2, use_mask=True)
  columns = jax.jit(system.pictures)(variables, {"frames": frames(2, 3)})
  assert list(columns) == [
    *("source 1", "source 2", "target", "warped", "flow 1", "flow 2"),
    *("mask 1", "mask 2", "error x 3"),
  ]
  for name, value in columns.items():
    assert value.shape == (2, 32, 32, 3), name
    assert value.min() >= 0 and value.max() <= 1, name
  # Attention over the sources sums to one.
  np.testing.assert_allclose(
    columns["mask 1"] + columns["mask 2"], 1.0, rtol=1e-5
  )


def test_settings_that_cannot_work_are_refused():
  with pytest.raises(errors.InputError, match="num_sources=2, use_mask=False"):
    make(num_sources=2)
  with pytest.raises(errors.InputError, match="model.frozen"):
    make(frozen=("decoder",))
  with pytest.raises(errors.InputError, match="size"):
    make(size_px=48)
  assert "fabnet" in base.NAMES


def test_groups_of_a_batch_have_their_own_statistics():
  one, variables = make()
  two = fabnet.make(**SETTINGS, batch_norm_groups=2)

  def losses_of(system, rows):
    given = variables.params, variables.frozen, variables.model_state
    control = {"band_start": np.int32(0), "band_stop": np.int32(len(rows))}
    loss, (model_state, _) = jax.jit(system.loss_fn)(
      *given, {"frames": rows}, control, jax.random.key(0)
    )
    return loss, model_state

  rows = frames(4, 2)
  got, state = losses_of(two, rows)
  halves = [losses_of(one, half) for half in (rows[:2], rows[2:])]
  want = np.mean([loss for loss, _ in halves])
  np.testing.assert_allclose(got, want, rtol=1e-5)
  # The first layer of the encoder: the target moves it, then the source.
  name = "encoder", "norm1", "mean"
  found, *wanted = (
    x[name[0]][name[1]][name[2]] for x in (state, *(y for _, y in halves))
  )
  np.testing.assert_allclose(found, np.mean(wanted, 0), rtol=1e-5, atol=1e-7)
  with pytest.raises(errors.InputError, match="does not divide among 2 groups"):
    losses_of(two, rows[:3])
