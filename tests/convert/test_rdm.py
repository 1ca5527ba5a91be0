import jax
import jax.numpy as jnp
import numpy as np
import pytest

from facerep_jax import errors
from facerep_jax.convert import rdm as convert
from facerep_jax.models import unet
from facerep_jax.ops import diffusion
from tests.golden import rdm as golden_rdm

MODEL = unet.CodeUNet(16, 32, golden_rdm.NUM_GROUPS)
_NEW_NAMES = {
  "query": "to_q",
  "key": "to_k",
  "value": "to_v",
  "proj_attn": "to_out.0",
}


@pytest.fixture(scope="module", params=["small", "full"])
def published(request):
  if request.param == "small":
    return golden_rdm.read_small()
  folder = request.getfixturevalue("shared") / "golden"
  return golden_rdm.read(folder / "rdm.npz")


@pytest.fixture(scope="module")
def state():
  return golden_rdm.read_small().state


def _predict(params, noisy, code, t):
  return MODEL.apply({"params": params}, noisy, code, t)


def _assert_near(got, want, tolerance, what):
  """Bounds the greatest difference by a share of the greatest value."""
  scale = np.abs(want).max()
  difference = np.abs(np.float64(got) - want).max() / scale
  print(f"{what}: {difference:.1e}")
  assert difference <= tolerance, what


def test_schedule_is_the_published_one(published):
  np.testing.assert_array_equal(
    diffusion.linear_schedule(), published.arrays["alphas_cumprod"]
  )


def test_training_matches_published(published):
  """Noisy codes, prediction, loss and the gradient of every weight."""
  arrays, params = published.arrays, convert.from_torch(published.state)
  code, noise = arrays["code"], arrays["noise"]
  t = np.int32(arrays["timesteps"])
  alpha_bar = diffusion.linear_schedule()[t]
  mean = np.repeat(code.mean(0, keepdims=True), len(code), 0)
  noisy = diffusion.add_noise(mean, noise, alpha_bar)
  _assert_near(noisy, arrays["noisy"], 1e-6, "noisy")

  def loss_fn(params):
    prediction = _predict(params, noisy, code, t)
    weight = diffusion.weight(alpha_bar, "clean", "published")
    squared = jnp.square(prediction - mean)
    return jnp.mean(weight[:, None] * squared), prediction

  grad_fn = jax.jit(jax.value_and_grad(loss_fn, has_aux=True))
  (loss, prediction), grads = grad_fn(params)
  # Float32 through 20 layers on both sides.
  _assert_near(prediction, arrays["pred"], 1e-5, "prediction")
  _assert_near(loss, arrays["loss"], 1e-5, "loss")
  grads = convert.to_torch(grads)
  assert set(grads) == set(published.grad_norms)
  worst = 0.0
  for name, want in published.grad_norms.items():
    got = np.linalg.norm(np.float64(grads[name]))
    # Of queries and keys both are zero.
    worst = max(worst, abs(got - want) / max(want, 1e-3))
    assert got == pytest.approx(want, rel=1e-4, abs=1e-7), name
  print(f"gradient norms: {worst:.1e}")


@pytest.mark.parametrize("clip", [0, 1])
def test_sampler_matches_published(published, clip):
  arrays, params = published.arrays, convert.from_torch(published.state)
  np.testing.assert_array_equal(
    diffusion.timesteps(5), arrays["ddim5/timesteps"]
  )

  @jax.jit
  def sample(params, noise):
    return diffusion.ddim(
      lambda noisy, t: _predict(params, noisy, arrays["code"], t),
      noise,
      alpha_bars=diffusion.linear_schedule(),
      num_steps=5,
      direction="published",
      clip=float(clip),
    )

  # Float32 through five times 20 layers.
  got = sample(params, arrays["noise"]).states
  _assert_near(got, arrays[f"ddim5/clip{clip}"], 1e-5, f"states, clip {clip}")


def test_sizes(state):
  assert convert.sizes(state) == {"code_dim": 16, "width": 32}


def test_round_trips(state):
  params = convert.from_torch(state)
  back = convert.to_torch(params)
  jax.tree.map(np.testing.assert_array_equal, convert.from_torch(back), params)
  assert {name: x.shape for name, x in back.items()} == {
    name: x.shape for name, x in state.items()
  }
  for name, value in back.items():
    assert value.dtype == np.float32
    want = np.float32(state[name])
    if ".query." in name or ".key." in name:
      want = np.zeros_like(want)
    elif value.shape[2:] == (3, 3):
      is_centre = np.zeros((3, 3), bool)
      is_centre[1, 1] = True
      want = np.where(is_centre[None, None], want, 0)
    np.testing.assert_array_equal(value, want, err_msg=name)


def test_names_and_layouts(state):
  params = convert.from_torch(state)
  for path, name, index in (
    ("up1/conv0", "up_blocks.0.resnets.1.conv1", (5, 40, 1, 1)),
    ("up2/shortcut", "up_blocks.0.resnets.2.conv_shortcut", (5, 40, 0, 0)),
    ("down0/time", "down_blocks.0.resnets.0.time_emb_proj", (5, 40)),
    ("attention/value", "mid_block.attentions.0.value", (5, 17)),
    ("time1", "time_embedding.linear_2", (99, 3)),
  ):
    layer = params
    for part in path.split("/"):
      layer = layer[part]
    want = state[f"{name}.weight"]
    assert layer["kernel"].shape == want.shape[1::-1]
    assert layer["kernel"][index[1], index[0]] == want[index]
    np.testing.assert_array_equal(layer["bias"], state[f"{name}.bias"])


def test_new_names_of_attention(state):
  renamed = {}
  for name, value in state.items():
    *front, part, leaf = name.split(".")
    renamed[".".join([*front, _NEW_NAMES.get(part, part), leaf])] = value
  assert set(renamed) != set(state)
  jax.tree.map(
    np.testing.assert_array_equal,
    convert.from_torch(renamed),
    convert.from_torch(state),
  )


def test_lists_every_problem(state):
  broken = dict(state)
  del broken["mid_block.attentions.0.value.bias"]
  del broken["mid_block.attentions.0.key.weight"]
  broken["conv_norm_out.weight"] = np.zeros(3)
  broken["up_blocks.0.resnets.0.conv1.weight"] = np.zeros((32, 64, 1, 1))
  broken["class_embedding.weight"] = np.zeros(3)
  with pytest.raises(errors.InputError) as error:
    convert.from_torch(broken, "netEA")
  for part in (
    "do not fit netEA: ",
    "mid_block.attentions.0.value.bias is missing",
    "mid_block.attentions.0.key.weight is missing",
    "conv_norm_out.weight has shape [3], expected [32]",
    "up_blocks.0.resnets.0.conv1.weight has shape [32, 64, 1, 1], "
    "expected [32, 64, 3, 3]",
    "class_embedding.weight is unexpected",
  ):
    assert part in str(error.value)


def test_both_denoisers_of_a_checkpoint(state):
  other = {name: value + 1 for name, value in state.items()}
  checkpoint = {"netEA": state, "netED": other, "netD": {"a": np.zeros(3)}}
  found = convert.from_checkpoint(checkpoint)
  for name, one in (("albedo", state), ("depth", other)):
    jax.tree.map(
      np.testing.assert_array_equal, found[name], convert.from_torch(one)
    )
  broken = dict(other)
  del broken["conv_in.bias"]
  with pytest.raises(errors.InputError) as error:
    convert.from_checkpoint({"netED": broken})
  for part in ("netEA: expected conv_out", "fit netED: conv_in.bias is miss"):
    assert part in str(error.value)


def test_refuses_what_is_no_denoiser(state):
  nested = {f"netEA.{name}": value for name, value in state.items()}
  with pytest.raises(
    errors.InputError, match=r"netEA: expected conv_out.*none"
  ):
    convert.from_torch(nested, "netEA")
  flat = state | {"conv_in.weight": np.zeros((32, 32))}
  with pytest.raises(errors.InputError, match=r"four axes, got \[32, 32\]"):
    convert.sizes(flat)
