import functools

import flax.errors
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from facerep_jax import errors, sharding
from facerep_jax.aot import collectives
from facerep_jax.models import layers

MODEL = layers.BatchNorm()


def _apply(variables, x, train=True):
  return MODEL.apply(variables, x, train=train, mutable=["batch_stats"])


def _case():
  rng = np.random.default_rng(0)
  # A mean far above the spread, where a one-pass variance would fail.
  x = (100 + rng.normal(size=(8, 3, 2, 4))).astype(np.float32)
  draw = lambda low: rng.uniform(low, 2, 4).astype(np.float32)
  variables = {
    "params": {"scale": draw(0.5), "bias": draw(-1)},
    "batch_stats": {"mean": draw(-1), "var": draw(0.5)},
  }
  return variables, x


def test_batch_norm_matches_float64():
  variables, x = _case()
  wide = np.float64(x)
  mean, var = wide.mean((0, 1, 2)), wide.var((0, 1, 2))
  scale, bias = variables["params"]["scale"], variables["params"]["bias"]
  got, mutated = jax.jit(_apply)(variables, x)
  want = (wide - mean) / np.sqrt(var + 1e-5) * scale + bias
  np.testing.assert_allclose(got, want, atol=1e-4)  # Float32 at 100.
  num = 8 * 3 * 2
  old, new = variables["batch_stats"], mutated["batch_stats"]
  np.testing.assert_allclose(
    new["mean"], 0.9 * old["mean"] + 0.1 * mean, rtol=1e-6
  )
  unbiased = wide.var((0, 1, 2), ddof=1)
  assert np.abs(unbiased / var - num / (num - 1)).max() < 1e-12
  np.testing.assert_allclose(
    new["var"], 0.9 * old["var"] + 0.1 * unbiased, rtol=1e-5
  )


def test_batch_norm_uses_running_statistics_in_evaluation():
  variables, x = _case()
  got, mutated = _apply(variables, x, train=False)
  stats, params = variables["batch_stats"], variables["params"]
  want = (x - stats["mean"][None, None, None]) / np.sqrt(stats["var"] + 1e-5)[
    None, None, None
  ]
  want = want * params["scale"][None, None, None]
  np.testing.assert_allclose(
    got, want + params["bias"][None, None, None], rtol=1e-5
  )
  np.testing.assert_array_equal(mutated["batch_stats"]["mean"], stats["mean"])


@pytest.mark.many_devices
def test_batch_norm_is_global_over_devices():
  variables, x = _case()
  mesh = Mesh(np.array(jax.devices()), ("data",))
  assert mesh.size == 8
  spread = jax.device_put(x, NamedSharding(mesh, P("data")))
  one, eight = jax.jit(_apply)(variables, x), jax.jit(_apply)(variables, spread)
  assert len(eight[0].sharding.device_set) == 8
  jax.tree.map(  # Sums are reordered, at values of 100.
    lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4),
    one,
    eight,
  )


def test_groups_of_a_batch_are_normalised_apart():
  variables, x = _case()
  model = layers.BatchNorm(num_groups=2)

  def apply(variables, x):
    return model.apply(variables, x, train=True, mutable=["batch_stats"])

  got, mutated = jax.jit(apply)(variables, x)
  halves = [jax.jit(_apply)(variables, half) for half in (x[:4], x[4:])]
  np.testing.assert_allclose(  # Float32 at 100.
    got, np.concatenate([out for out, _ in halves]), atol=1e-4
  )
  assert np.abs(got - jax.jit(_apply)(variables, x)[0]).max() > 0.01
  for name, new in mutated["batch_stats"].items():
    want = np.mean([y["batch_stats"][name] for _, y in halves], 0)
    np.testing.assert_allclose(new, want, rtol=1e-6)
  in_use = MODEL.apply(variables, x, train=False)
  np.testing.assert_array_equal(model.apply(variables, x, train=False), in_use)


def test_statistics_of_groups_stay_inside_a_slice():
  variables, x = _case()
  mesh = sharding.make_mesh()

  def gradient(x, num_groups):
    model = layers.BatchNorm(num_groups=num_groups)

    def loss(x):
      out, stats = model.apply(
        variables, x, train=True, mutable=["batch_stats"]
      )
      del stats  # Their mean is what slices have to tell each other.
      return jnp.sum(out**3)

    return jax.grad(loss)(x)

  found = {}
  for num_groups in (1, 2):
    by_row = sharding.by_row(mesh)
    step = jax.jit(
      functools.partial(gradient, num_groups=num_groups),
      in_shardings=by_row,
      out_shardings=by_row,
    )
    text = step.lower(x).compile().as_text()
    transfers = collectives.find(text, num_devices=8, num_slices=2)
    found[num_groups] = {x.is_across_slices for x in transfers}
    one = jax.jit(gradient, static_argnums=1)(x, num_groups)
    np.testing.assert_allclose(step(x), one, rtol=1e-3, atol=1e-3)
  assert found == {1: {True}, 2: {False}}


def test_batch_norm_refuses_rows_that_do_not_divide_among_groups():
  variables, x = _case()
  for num_groups, rows, text in ((3, x, "among 3 groups"), (8, x, None)):
    model = layers.BatchNorm(num_groups=num_groups)
    call = functools.partial(
      model.apply, variables, train=True, mutable=["batch_stats"]
    )
    if text is None:
      assert jax.eval_shape(call, rows)[0].shape == x.shape
      rows, text = x[:, :1, :1], "more than one value"
    with pytest.raises(errors.InputError, match=text):
      jax.eval_shape(call, rows)


def test_batch_norm_refuses_one_value_per_channel():
  variables, x = _case()
  one = x[:1, :1, :1]
  with pytest.raises(errors.InputError, match="more than one value"):
    jax.eval_shape(_apply, variables, one)
  MODEL.apply(variables, one, train=False)


def test_batch_norm_statistics_are_float32_in_bfloat16():
  variables, x = _case()
  model = layers.BatchNorm(dtype=jnp.bfloat16)
  narrow = jnp.asarray(x - 100, jnp.bfloat16)
  out, mutated = model.apply(
    variables, narrow, train=True, mutable=["batch_stats"]
  )
  assert out.dtype == jnp.bfloat16
  wide = np.float64(narrow)
  want = 0.9 * variables["batch_stats"]["mean"] + 0.1 * wide.mean((0, 1, 2))
  got = mutated["batch_stats"]["mean"]
  assert got.dtype == jnp.float32
  # The inputs are bfloat16, their mean is not.
  np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("module", [layers.DownsampleConv, layers.UpsampleConv])
def test_initial_values_are_torchs(module):
  variables = module(64).init(jax.random.key(0), jnp.zeros((1, 4, 4, 16)))
  kernel, bias = variables["params"]["kernel"], variables["params"]["bias"]
  bound = np.prod(kernel.shape[:3]) ** -0.5
  for values in (kernel, bias):
    assert np.abs(values).max() <= bound
    # A uniform draw of 64 or more has this spread within a fifth.
    assert abs(values.std() / (bound / 3**0.5) - 1) < 0.2


def test_convolutions_compute_in_their_dtype():
  x = jax.random.normal(jax.random.key(1), (1, 4, 4, 3))
  for module in (layers.DownsampleConv, layers.UpsampleConv):
    model = module(2, dtype=jnp.bfloat16)
    out, variables = model.init_with_output(jax.random.key(0), x)
    assert out.dtype == jnp.bfloat16
    assert variables["params"]["kernel"].dtype == jnp.float32
    want = module(2).apply(variables, x)
    assert want.dtype == jnp.float32 and np.ptp(want) > 0.5
    # Inputs, weights and sums of about 1 are rounded to 8 bits.
    np.testing.assert_allclose(np.float32(out), want, atol=0.03)
    assert (np.float32(out) != want).any()


def test_a_parameter_of_another_shape_is_refused():
  class Net(nn.Module):
    @nn.compact
    def __call__(self, x):
      ones = nn.initializers.ones
      return x + layers.parameter(self, "part1", ones, (4, 5)).sum()

  params = {"part1": jnp.zeros((5, 4))}
  with pytest.raises(
    flax.errors.ScopeParamShapeError, match=r'"part1" in "/".*\(5, 4\)'
  ) as caught:
    Net().apply({"params": params}, jnp.zeros(()))
  # As flax itself says it.
  plain = nn.Dense(5, name="x")
  with pytest.raises(flax.errors.ScopeParamShapeError) as own:
    plain.apply({"params": {"kernel": jnp.zeros((3, 4))}}, jnp.zeros((1, 3)))
  assert (
    str(caught.value).split('"part1"')[0]
    == (str(own.value).split('"kernel"')[0])
  )


def test_applying_a_network_traces_no_initial_values():
  asked = []

  def init(key, shape):
    asked.append(shape)
    return jnp.ones(shape)

  class Scale(nn.Module):
    @nn.compact
    def __call__(self, x):
      return x * layers.parameter(self, "scale", init, (3,))

  params = Scale().init(jax.random.key(0), jnp.zeros(3))
  out = Scale().apply(params, jnp.arange(3.0))
  np.testing.assert_array_equal(out, [0, 1, 2])
  assert asked == [(3,)]
