import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import latentface
from facerep_jax import errors, sharding
from facerep_jax.ops import diffusion as ops
from facerep_jax.runs import curriculum, optim, stages
from facerep_jax.systems import base, diffusion, diffusion_model
from facerep_jax.systems import diffusion_settings as settings_of
from tests import tiny_face

KEY = jax.random.key(0)
CONTROL = curriculum.control_scalars(
  curriculum.Rule(use=False), curriculum.State(), 2
)


def make(**changes):
  config = stages.config_of(tiny_face.lean(""), "diffusion")
  return diffusion.make(dtype="float32", **(config.model.to_dict() | changes))


def model_of(**changes):
  config = stages.config_of(tiny_face.lean(""), "diffusion")
  return diffusion_model.make(
    settings_of.Settings(**(config.model.to_dict() | changes))
  )


@pytest.fixture(scope="module")
def tiny():
  """A system, and variables with statistics that are not trivial."""
  system = make()
  variables = jax.jit(system.init)(KEY)
  rng = np.random.default_rng(0)
  statistics = {
    name: {
      "mean": rng.normal(size=8).astype(np.float32),
      "deviation": rng.uniform(0.5, 2.0, 8).astype(np.float32),
    }
    for name in settings_of.NETWORKS
  }
  within = {
    "mean": rng.normal(size=16).astype(np.float32),
    "map": rng.normal(size=(16, 16)).astype(np.float32),
  }
  frozen = variables.frozen | {"statistics": statistics, "wccn": within}
  return system, variables._replace(frozen=frozen)


def frames(num_tracks, num_frames=3, seed=0):
  """Smooth pictures, [B, T, 64, 64, 3] uint8."""
  rng = np.random.default_rng(seed)
  coarse = rng.uniform(0, 255, (num_tracks, num_frames, 4, 4, 3))
  shape = (num_tracks, num_frames, 64, 64, 3)
  smooth = jax.image.resize(jnp.asarray(coarse, jnp.float32), shape, "linear")
  return smooth.astype(jnp.uint8)


def images(count, seed=0):
  return frames(count, 1, seed)[:, 0].astype(jnp.float32) / 255


def test_features_are_made_of_codes_and_neutral_codes(tiny):
  system, variables = tiny
  pictures = images(2)
  out, _ = jax.jit(system.represent)(variables, pictures, KEY)
  encode = jax.jit(system.faces.encode)
  one = encode(variables, pictures, KEY)
  mirror = encode(variables, pictures[:, :, ::-1], KEY)
  a, na = one["albedo_code"], one["neutral_albedo_code"]
  d, nd = one["depth_code"], one["neutral_depth_code"]
  known = variables.frozen["wccn"]
  both = np.concatenate(
    [(one[k] + mirror[k]) / 2 for k in ("albedo_code", "depth_code")], axis=1
  )
  want = {
    "identity_wccn": [(both - known["mean"][None]) @ known["map"]],
    "identity": [na, nd],
    "expression": [a - na, d - nd],
    "fer": [a - na, a, d - nd, d],
    "verification": [
      *(side[f"{prefix}{name}_code"] for side in (one, mirror)
        for name in ("albedo", "depth") for prefix in ("neutral_", ""))
    ],
    "albedo_code": [a],
    "depth_code": [d],
    "view": [one["view"]],
    "light": [one["light"]],
  }  # fmt: skip
  assert set(out) == set(want)
  for name, parts in want.items():
    # Another batch, so that sums may be in another order.
    np.testing.assert_allclose(
      out[name], np.concatenate(parts, axis=1), rtol=1e-4, atol=1e-5
    )
  assert out["fer"].shape == (2, 32) and out["verification"].shape == (2, 64)
  # With code_dim 256 these are the published 1,024 and 2,048 numbers.


def test_without_a_map_there_is_no_such_feature():
  system = make(wccn=False)
  variables = jax.eval_shape(system.init, KEY)
  assert set(variables.frozen) == {"autoencoder", "statistics"}
  shape = jax.ShapeDtypeStruct((1, 64, 64, 3), np.float32)
  out, _ = jax.eval_shape(system.represent, variables, shape, KEY)
  assert "identity_wccn" not in out and "verification" in out


def test_features_depend_on_the_image_alone(tiny):
  system, variables = tiny
  represent = jax.jit(lambda *args: system.represent(*args)[0])
  pictures = images(3)
  first = represent(variables, pictures, KEY)
  again = represent(variables, pictures, KEY)
  turned = represent(variables, pictures[::-1], KEY)
  alone = represent(variables, pictures[:1], KEY)
  for name, value in first.items():
    np.testing.assert_array_equal(value, again[name])
    np.testing.assert_array_equal(value[0], turned[name][2], err_msg=name)
    # Another shape is another program: sums in another order.
    np.testing.assert_allclose(value[:1], alone[name], rtol=1e-4, atol=1e-5)
  other = represent(variables, pictures, jax.random.key(1))
  assert np.abs(other["identity"] - first["identity"]).max() > 1e-3


def test_loss_is_the_weighted_error_of_the_mean_code(tiny):
  """Against the formula, written out in NumPy."""
  system, variables = tiny
  rng = np.random.default_rng(1)
  codes = rng.normal(size=(2, 3, 16)).astype(np.float32)
  loss, (state, metrics) = jax.jit(system.loss_fn)(
    variables.params, variables.frozen, {}, {"codes": codes}, CONTROL, KEY
  )
  model, want = model_of(), 0.0
  alpha_bars = np.float64(ops.linear_schedule())
  for i, name in enumerate(settings_of.NETWORKS):
    known = variables.frozen["statistics"][name]
    seen = (codes[..., 8 * i : 8 * i + 8] - known["mean"]) / known["deviation"]
    clean = np.repeat(seen.mean(axis=1, keepdims=True), 3, axis=1)
    step_key, noise_key = jax.random.split(jax.random.fold_in(KEY, i))
    step = np.asarray(jax.random.randint(step_key, (6,), 0, 1000))
    noise = np.asarray(jax.random.normal(noise_key, (6, 8)))
    share = alpha_bars[step][:, None]
    noisy = np.sqrt(share) * clean.reshape(6, 8) + np.sqrt(1 - share) * noise
    found = model.nets[name].apply(
      {"params": variables.params[name]},
      jnp.asarray(noisy, jnp.float32),
      seen.reshape(6, 8),
      step,
    )
    weight = np.minimum(share / (1 - share), 5.0)
    error = weight * np.square(found - clean.reshape(6, 8))
    np.testing.assert_allclose(metrics[f"loss_{name}"], error.mean(), rtol=1e-4)
    want += error.mean()
  np.testing.assert_allclose(loss, want, rtol=1e-4)  # float32 networks.
  assert state == {} and metrics["loss"] == loss


def test_codes_in_the_place_of_frames_give_the_same_loss(tiny):
  system, variables = tiny
  pictures = frames(2)
  codes = jax.jit(system.encode)(
    variables.frozen, pictures.reshape(6, 64, 64, 3)
  )
  found = [
    jax.jit(system.loss_fn)(
      variables.params, variables.frozen, {}, batch, CONTROL, KEY
    )[0]
    for batch in ({"frames": pictures}, {"codes": codes.reshape(2, 3, 16)})
  ]
  np.testing.assert_allclose(*found, rtol=1e-4)  # Two programs.


def test_only_the_denoisers_learn_and_both_do(tiny):
  system, variables = tiny
  assert set(variables.params) == {"albedo", "depth"}
  assert set(variables.frozen) == {"autoencoder", "statistics", "wccn"}
  grads = jax.jit(jax.grad(lambda *args: system.loss_fn(*args)[0]))(
    *(variables.params, variables.frozen, {}, {"frames": frames(2)}),
    *(CONTROL, KEY),
  )
  for name, tree in grads.items():
    assert max(jnp.abs(x).max() for x in jax.tree.leaves(tree)) > 1e-4, name


@pytest.mark.many_devices
def test_one_device_equals_eight(tiny):
  system, variables = tiny
  batch = {"frames": np.asarray(frames(8))}
  control = curriculum.control_scalars(
    curriculum.Rule(use=False), curriculum.State(), 8
  )
  found = []
  for count in (1, 8):
    mesh = sharding.make_mesh(jax.devices()[:count])

    def step(state, frozen, batch, control):
      grad = jax.value_and_grad(lambda p: system.loss_fn(
        p, frozen, {}, batch, control, KEY)[0])  # fmt: skip
      return state, grad(state)

    step = sharding.jit_train_step(step, mesh)
    placed = sharding.put_replicated(variables.params, mesh)
    placed = jax.tree.map(jnp.copy, placed)
    frozen = sharding.put_replicated(variables.frozen, mesh)
    _, out = step(placed, frozen, sharding.put_batch(batch, mesh), control)
    found.append(jax.device_get(out))
  np.testing.assert_allclose(found[0][0], found[1][0], rtol=1e-5)

  # Norms over groups of few numbers enlarge the rounding of float32: up to
  # 0.7 % of a gradient was seen. One device's rows are an eighth of them all.
  def check(a, b):
    assert np.linalg.norm(a - b) <= 0.02 * np.linalg.norm(a)

  jax.tree.map(check, found[0][1], found[1][1])


def test_evaluation_compares_with_the_mean_code_and_masks_padding(tiny):
  system, variables = tiny
  pictures = np.array(frames(3))
  evaluate = jax.jit(system.eval_fn)
  weight = np.array([1, 1, 0], np.float32)
  sums = evaluate(variables, {"frames": pictures, "weight": weight})
  # What only fills the batch has no influence. A copy: the device may still
  # read the first array.
  changed = pictures.copy()
  changed[2] = 0
  other = evaluate(variables, {"frames": changed, "weight": weight})
  for name in ("error", "error_raw", "within_identity", "diffusion_loss"):
    assert sums[name][1] == 2
  for name, found in sums.items():
    np.testing.assert_array_equal(found, other[name], err_msg=name)
  rows = pictures[:2].reshape(6, 64, 64, 3)
  codes = np.asarray(jax.jit(system.encode)(variables.frozen, rows))
  codes = np.float64(codes.reshape(2, 3, 2, 8))
  want = 0.0
  for i, name in enumerate(settings_of.NETWORKS):
    deviation = variables.frozen["statistics"][name]["deviation"]
    seen = codes[:, :, i] / deviation
    want += seen.var(axis=1).mean()
  np.testing.assert_allclose(sums["error_raw"][0] / 2, want, rtol=1e-4)
  # Frames that are all alike have nothing but their mean.
  still = np.repeat(pictures[:2, :1], 3, axis=1)
  sums = evaluate(variables, {"frames": still, "weight": np.ones(2, "f4")})
  assert sums["within_identity"][0] < 1e-6 and sums["error_raw"][0] < 1e-6


def test_what_selects_checkpoints_is_what_the_setting_says(tiny):
  _, variables = tiny
  still = np.repeat(np.asarray(frames(4)[:, :1]), 3, axis=1)
  batch = {"frames": still, "weight": np.ones(4, "f4")}
  found = {}
  for kind in ("error", "verification"):
    model = model_of(select_by=kind)
    found[kind] = jax.jit(
      lambda v, b, model=model: diffusion._evaluate(model, v, b)
    )(variables, batch)
  sums = found["verification"]
  # 4 pairs that belong together, each against 12 that do not.
  assert sums["verification"][1] == 48
  # Two programs: float32 rounding only.
  np.testing.assert_allclose(
    found["error"]["loss"][0], sums["error"][0], rtol=1e-5
  )
  np.testing.assert_allclose(
    sums["loss"][0] / 48, 1 - sums["verification"][0] / 48, rtol=1e-6
  )
  # The first frame of a sample is its last.
  assert sums["verification_raw"][0] == 48


def test_a_single_sample_is_not_ranked(tiny):
  system, variables = tiny
  sums = jax.jit(system.eval_fn)(
    variables, {"frames": frames(1), "weight": np.ones(1, "f4")}
  )
  assert "verification" not in sums and sums["loss"] == sums["error"]


def test_a_perfect_denoiser_gives_back_the_mean(tiny, monkeypatch):
  """In the units of the codes, whatever their statistics."""
  _, variables = tiny
  model = model_of()
  clean = jnp.asarray(np.random.default_rng(2).normal(size=(4, 8)), "f4")
  seen = diffusion_model.standardise(variables.frozen, "albedo", clean)

  class Perfect:
    def apply(self, params, noisy, code, step):
      return seen

  model = model._replace(nets={"albedo": Perfect()})
  found = diffusion_model.denoise(model, variables, "albedo", clean * 3, KEY)
  np.testing.assert_allclose(found, clean, rtol=1e-5, atol=1e-6)


def test_pictures_and_reconstruction(tiny):
  system, variables = tiny
  batch = {"frames": frames(2)}
  found = jax.jit(system.pictures)(variables, batch)
  assert list(found)[:3] == ["input", "rebuilt", "front"]
  assert list(found)[-1] == "change x 3" and len(found) == 10
  for name, value in found.items():
    assert value.shape == (2, 64, 64, 3), name
    assert value.min() >= 0 and value.max() <= 1, name
  np.testing.assert_allclose(
    found["other frame"],
    np.float32(batch["frames"][:, -1]) / np.float32(255),
    rtol=1e-6,
  )
  first = base.Variables(variables.frozen["autoencoder"], {}, {})
  model = model_of()
  for function in ("reconstruct", "factors"):
    arguments = images(2) if function == "factors" else batch
    got = jax.jit(getattr(system, function))(variables, arguments)
    want = jax.jit(getattr(model.first, function))(first, arguments)
    jax.tree.map(np.testing.assert_array_equal, got, want)


@pytest.mark.parametrize("preset", latentface.PRESETS)
def test_every_preset_builds_its_system(preset):
  config = stages.config_of(latentface.get_config(preset), "diffusion")
  system = base.build(config)
  assert system.num_frames == 16
  optim.Recipe(**config.optimizer)
  params = jax.eval_shape(system.init, KEY).params
  widths = {"paper": 1024, "demo": 256}
  for net in params.values():
    assert net["first"]["kernel"].shape[-1] == widths.get(preset, 128)


@pytest.mark.parametrize(
  ("changes", "text"),
  [
    ({"width": 100}, "width: expected a multiple of 8, got 100"),
    ({"prediction": "x"}, "prediction: expected one of clean, epsilon, v"),
    ({"weighting": "x"}, "weighting: expected one of published, truncated"),
    ({"direction": "x"}, "direction: expected one of published, textbook"),
    ({"sampler_steps": 0}, "sampler_steps: expected a whole number from 1"),
    ({"sampler_steps": 2000}, "expected 1 to 1000, got 2000"),
    ({"sampler_clip": -1.0}, "sampler_clip: expected a number from 0"),
    ({"beta_last": 1.5}, "beta_last: expected a number, more than 0 and"),
    ({"gamma": 0.0}, "gamma: expected a number, more than 0"),
  ],
)
def test_settings_that_cannot_work_are_refused(changes, text):
  with pytest.raises(errors.InputError, match=text):
    make(**changes)
