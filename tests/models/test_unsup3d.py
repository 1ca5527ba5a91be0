import functools

import flax.traverse_util
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from facerep_jax import errors
from facerep_jax.convert import unsup3d as convert
from facerep_jax.models import unsup3d
from tests.oracles import waves

NETS = ("netD", "netA", "netL", "netV", "netC")
CASES = [
  *((64, net) for net in NETS),
  *((128, net) for net in ("netD", "netL", "netC")),
]


def _model(net, size_px, **kwargs):
  """The nets of the reference files: width 16, codes of 16."""
  if net in ("netD", "netA"):
    channels, use_tanh = (1, False) if net == "netD" else (3, True)
    return unsup3d.MapNet(size_px, 16, 16, channels, use_tanh, **kwargs)
  if net in ("netL", "netV"):
    num_out = 4 if net == "netL" else 6
    return unsup3d.VectorNet(size_px, 16, num_out, 128, **kwargs)
  return unsup3d.ConfidenceNet(size_px, 16, 16, **kwargs)


def _shapes(model):
  image = jnp.zeros((1, model.size_px, model.size_px, 3))
  return jax.eval_shape(model.init, jax.random.key(0), image)["params"]


def _formula_params(net, model):
  """Weights drawn from torch's names."""
  key = convert.NETS[net]
  zeros = jax.tree.map(lambda x: np.zeros(x.shape), _shapes(model))
  state = convert.to_torch({key: zeros})[net]
  state = waves.torch_state({k: v.shape for k, v in state.items()})
  return convert.from_torch({net: state}, [net])[key]


def _images(model):
  return 2 * waves.images(2, model.size_px, 0.3) - 1


@functools.partial(jax.jit, static_argnums=0)
def _outputs(model, params, images11):
  out = model.apply({"params": params}, images11)
  return out if isinstance(out, tuple) else (out,)


def _loss(params, model, images11):
  out = _outputs(model, params, images11)
  return sum(jnp.mean(jnp.square(x)) for x in out), out


_STEP = jax.jit(jax.value_and_grad(_loss, has_aux=True), static_argnums=1)


def _torch_layout(x):
  """NCHW, and codes as 1x1 maps."""
  return np.asarray(x).transpose(0, 3, 1, 2) if x.ndim == 4 else np.asarray(x)


@pytest.mark.parametrize("size_px, net", CASES)
def test_outputs_and_gradients_match_torch(golden, net, size_px):
  want = np.load(golden / "unsup3d_small.npz")
  model = _model(net, size_px)
  params = _formula_params(net, model)
  (_, out), grads = _STEP(params, model, _images(model))
  for i, x in enumerate(map(_torch_layout, out)):
    name = f"{size_px}/out/{net}/{i}"
    if x.ndim == 4 and x.shape[-1] == size_px:
      x = x[..., :: size_px // 16, :: size_px // 16]
    # Float32 through up to 20 layers; measured 2e-5.
    np.testing.assert_allclose(
      x, want[name].reshape(x.shape), atol=1e-4, rtol=1e-4, err_msg=name
    )
  norms = convert.to_torch({convert.NETS[net]: grads})[net]
  prefix = f"{size_px}/gradnorm/{net}/"
  names = {k.removeprefix(prefix) for k in want.files if prefix in k}
  assert names == set(norms)
  for name in names:
    # Rectifiers flip near zero: up to 1e-3, by the order of the sums.
    np.testing.assert_allclose(
      np.linalg.norm(norms[name]),
      want[prefix + name],
      rtol=5e-3,
      atol=1e-6,
      err_msg=name,
    )


@pytest.mark.parametrize(
  "size_px, net", [(64, n) for n in NETS] + [(128, "netD"), (128, "netL")]
)
def test_outputs_match_published(shared, net, size_px):
  reference = np.load(shared / "golden" / "autoencoder_nets.npz")
  prefix = f"{size_px}/param/"
  checkpoint = {
    name.removeprefix(prefix): reference[name]
    for name in reference.files
    if name.startswith(prefix)
  }
  params = convert.from_torch(checkpoint, [net])[convert.NETS[net]]
  model = _model(net, size_px)
  for i, x in enumerate(_outputs(model, params, _images(model))):
    want = reference[f"{size_px}/out/{net}/{i}"]
    # Float32 through up to 20 layers; measured 4e-5.
    np.testing.assert_allclose(
      _torch_layout(x).reshape(want.shape), want, atol=1e-4, rtol=1e-4
    )


def _count(model):
  return sum(x.size for x in jax.tree.leaves(_shapes(model)))


def test_parameter_counts_of_published_sizes():
  rise = 16 * (3 * 64 + 64 * 128 + 128 * 256 + 256 * 512)
  encoder = rise + 2 * (64 + 128 + 256)
  fall = 16 * (512 * 256 + 256 * 128 + 128 * 64)
  threes = 9 * (512**2 + 256**2 + 128**2 + 64**2 + 64**2)
  fives = 25 * (64**2 + 64)
  norms = 2 * (2 * (256 + 128 + 64) + 64 + 64)
  codes = 2 * 16 * 512 * 256
  depth = encoder + codes + fall + threes + fives + norms
  assert _count(unsup3d.MapNet()) == depth == 12_979_648
  albedo = unsup3d.MapNet(out_channels=3, use_tanh=True)
  assert _count(albedo) == depth + 2 * 25 * 64
  light = 16 * (3 * 32 + 32 * 64 + 64 * 128 + 128 * 256 + 256 * 256) + 256 * 4
  assert _count(unsup3d.VectorNet()) == light == 1_739_264
  assert _count(unsup3d.VectorNet(num_out=6)) == light + 2 * 256
  heads = 16 * 64 * 64 + 25 * 64 * 2 + 9 * 128 * 2
  norms = 2 * (256 + 128 + 64 + 64)
  confidence = encoder + codes // 2 + fall + heads + norms
  assert _count(unsup3d.ConfidenceNet()) == confidence == 7_678_208


def test_stages_of_larger_images_have_weights_of_their_own():
  sizes = [_count(unsup3d.MapNet(size)) for size in (64, 128, 256)]
  stage = 16 * 512**2 + 16 * 256**2 + 9 * 256**2 + 2 * 2 * 256
  assert np.diff(sizes).tolist() == [stage, stage]


@pytest.mark.parametrize("size_px", [64, 128, 256])
def test_shapes_and_types(size_px):
  images = jnp.zeros((3, size_px, size_px, 3))

  def run(model):
    key = jax.random.key(0)
    out, _ = jax.eval_shape(model.init_with_output, key, images)
    return [(x.shape, x.dtype) for x in jax.tree.leaves(out)]

  square, narrow = (3, size_px, size_px), {"dtype": jnp.bfloat16}
  maps = [((3, 256), jnp.float32), ((*square, 1), jnp.float32)]
  assert run(unsup3d.MapNet(size_px, **narrow)) == maps
  assert run(unsup3d.VectorNet(size_px, num_out=6, **narrow)) == [
    ((3, 6), jnp.float32)
  ]
  quarter = (3, size_px // 4, size_px // 4, 2)
  assert run(unsup3d.ConfidenceNet(size_px, **narrow)) == [
    ((*square, 2), jnp.float32),
    (quarter, jnp.float32),
  ]


def test_code_and_map_by_their_own_methods():
  model = _model("netA", 64)
  params = _formula_params("netA", model)
  code, albedo = _outputs(model, params, _images(model))
  run = jax.jit(model.apply, static_argnames="method")
  encoded = run({"params": params}, _images(model), method="encode")
  decoded = run({"params": params}, code, method="decode")
  # Compiled apart, the same sums may be ordered otherwise.
  np.testing.assert_allclose(encoded, code, atol=1e-5)
  np.testing.assert_allclose(decoded, albedo, atol=1e-4)
  assert code.min() >= 0
  assert np.abs(albedo).max() < 1


@pytest.mark.parametrize("net", NETS)
def test_constant_images_have_finite_gradients(net):
  model = _model(net, 64)
  params = _formula_params(net, model)
  grads = _STEP(params, model, jnp.zeros((2, 64, 64, 3)))[1]
  assert all(np.isfinite(g).all() for g in jax.tree.leaves(grads))


def test_bfloat16_stays_near_float32():
  wide, narrow = (
    _model("netD", 64, dtype=dtype) for dtype in (jnp.float32, jnp.bfloat16)
  )
  params = _formula_params("netD", wide)
  want, got = (_outputs(m, params, _images(wide))[1] for m in (wide, narrow))
  assert got.dtype == jnp.float32
  # Eight bits through twenty layers, of values about one.
  difference = np.abs(got - want).mean()
  assert 0 < difference < 0.1


def test_initial_values_are_torchs():
  model = unsup3d.MapNet(width=16, code_dim=32)
  init = jax.jit(model.init)
  params = init(jax.random.key(0), jnp.zeros((1, 64, 64, 3)))["params"]
  flat = flax.traverse_util.flatten_dict(params, sep="/")
  fan_in = {
    "encoder/conv1/kernel": 16 * 16,
    "encoder/code/kernel": 16 * 128,
    "decoder/seed/kernel": 16 * 128,  # Of a transposed one: the outputs.
    "decoder/up1/kernel": 16 * 64,
    "decoder/conv1/kernel": 9 * 64,
    "decoder/last_up/kernel": 9 * 16,
    "decoder/last/kernel": 25 * 16,
  }
  for name, num in fan_in.items():
    values, bound = flat[name], num**-0.5
    assert np.abs(values).max() <= bound, name
    # A uniform draw of over a thousand has this spread within a tenth.
    assert abs(values.std() / (bound / 3**0.5) - 1) < 0.1, name
  assert (flat["decoder/norm1/scale"] == 1).all()
  assert (flat["decoder/norm1/bias"] == 0).all()


@pytest.mark.parametrize("size_px", [0, 32, 96, 100, 192])
def test_refuses_other_sizes(size_px):
  with pytest.raises(errors.InputError, match="size_px: expected 64 or that"):
    unsup3d.num_extra_stages(size_px)


def test_refuses_what_does_not_fit():
  key = jax.random.key(0)
  with pytest.raises(errors.InputError, match="NHWC"):
    jax.eval_shape(unsup3d.MapNet().init, key, jnp.zeros((1, 3, 64, 64)))
  for net in (unsup3d.MapNet, unsup3d.ConfidenceNet):
    with pytest.raises(errors.InputError, match="multiple of 16"):
      jax.eval_shape(net(width=24).init, key, jnp.zeros((1, 64, 64, 3)))
