import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import latentface
from facerep_jax import errors, sharding
from facerep_jax.faces import panels, rendering
from facerep_jax.runs import stages
from facerep_jax.systems import (
  autoencoder,
  autoencoder_loss,
  autoencoder_reconstruct,
  autoencoder_settings,
  base,
)
from tests import tiny_face

KEY = jax.random.key(0)


def make(**changes):
  settings = tiny_face.MODEL | {"perceptual": "none"} | changes
  return autoencoder.make(dtype="float32", **settings)


@pytest.fixture(scope="module")
def tiny():
  system = make()
  return system, jax.jit(system.init)(KEY)


def frames(rows, num_frames=1, seed=0):
  """Smooth pictures, [rows, num_frames, 64, 64, 3] uint8."""
  rng = np.random.default_rng(seed)
  coarse = rng.uniform(0, 255, (rows, num_frames, 4, 4, 3))
  return jax.image.resize(
    jnp.asarray(coarse, jnp.float32), (rows, num_frames, 64, 64, 3), "linear"
  ).astype(jnp.uint8)


def first_frames(batch):
  """The first frame of each track, float32, [0, 1]."""
  return batch["frames"][:, 0].astype(jnp.float32) / 255


def loss_of(system, variables, batch, start=0, stop=None):
  stop = len(batch["frames"]) if stop is None else stop
  return jax.jit(system.loss_fn)(
    *(variables.params, variables.frozen, variables.model_state),
    *(batch, band(start, stop), KEY),
  )


def band(start, stop):
  """Which ranks train."""
  return {"band_start": np.int32(start), "band_stop": np.int32(stop)}


def test_the_band_trains_the_easiest_images():
  system = make(perceptual="none")
  variables = jax.jit(system.init)(KEY)
  batch = {"frames": frames(4, 1)}
  # Of a batch that holds one row four times: a program for all.
  alone = [
    float(loss_of(system, variables, {"frames": row})[0])
    for row in np.repeat(batch["frames"][:, None], 4, axis=1)
  ]
  ranked = np.sort(alone)
  for start, stop in ((0, 2), (2, 4), (1, 4)):
    # Sums are reordered.
    np.testing.assert_allclose(
      loss_of(system, variables, batch, start, stop)[0],
      ranked[start:stop].mean(),
      rtol=1e-5,
    )
  assert ranked[0] < 0.999 * ranked[-1]


def test_loss_is_the_weighted_sum_of_its_terms():
  weights = {
    "mirror": 0.3,
    "perceptual": 2.0,
    "albedo_consistency": 5.0,
    "shape_consistency": 7.0,
    "depth_smoothness": 3.0,
  }
  system = make(perceptual="gradients", num_frames=2, weights=weights)
  variables = jax.jit(system.init)(KEY)
  loss, (model_state, metrics) = loss_of(
    system, variables, {"frames": frames(2, 2)}
  )
  want = (
    metrics["photometric"]
    + 0.3 * metrics["photometric_mirror"]
    + 2.0 * metrics["perceptual"]
    + 0.6 * metrics["perceptual_mirror"]
    + 5.0 * metrics["albedo_consistency"]
    + 7.0 * metrics["shape_consistency"]
    + 3.0 * metrics["depth_smoothness"]
  )
  np.testing.assert_allclose(loss, want, rtol=1e-6)
  assert metrics["loss"] == loss and model_state == {}
  assert metrics["num_dropped"] == 0 and 0.5 < metrics["mask_share"] <= 1
  assert metrics["albedo_consistency"] > 0 and metrics["shape_consistency"] > 0
  # Evaluation leaves out what does not compare pictures.
  sums = jax.jit(system.eval_fn)(
    variables, {"frames": frames(2, 2), "weight": jnp.ones(2)}
  )
  rest = (
    5.0 * metrics["albedo_consistency"] + 7.0 * metrics["shape_consistency"]
  )
  rest += 3.0 * metrics["depth_smoothness"]
  # Two programs; the loss is a difference of larger numbers.
  np.testing.assert_allclose(sums["loss"][0] / 4, loss - rest, rtol=1e-4)
  assert sums["loss"][1] == 4


def test_frames_can_be_explained_by_the_face_of_the_next():
  rows = jnp.arange(6.0)[:, None]
  moved = autoencoder_reconstruct.of_next_frame(rows, 3)
  np.testing.assert_array_equal(moved[:, 0], [1, 2, 0, 4, 5, 3])
  own, following = (
    make(perceptual="none", num_frames=2, cross_frame=kind)
    for kind in ("own", "next")
  )
  variables = jax.jit(own.init)(KEY)
  pictures = frames(2, 2)
  # Between frames that are equal there is nothing to exchange.
  still = {"frames": np.repeat(pictures[:, :1], 2, axis=1)}
  moving = {"frames": pictures}
  losses = [
    [float(loss_of(s, variables, batch)[0]) for s in (own, following)]
    for batch in (still, moving)
  ]
  # Two programs: float32 rounding only.
  np.testing.assert_allclose(losses[0][0], losses[0][1], rtol=1e-6)
  assert abs(losses[1][0] - losses[1][1]) > 1e-4


def test_every_network_learns(tiny):
  system, variables = tiny
  grads = jax.jit(jax.grad(lambda *args: system.loss_fn(*args)[0]))(
    variables.params, {}, {}, {"frames": frames(2)}, band(0, 2), KEY
  )
  assert set(grads) == set(autoencoder_settings.NETWORKS)
  for name, tree in grads.items():
    assert max(jnp.abs(x).max() for x in jax.tree.leaves(tree)) > 1e-4, name


@pytest.mark.many_devices
def test_gradients_do_not_depend_on_device_count():
  weights = {"albedo_consistency": 1.0, "shape_consistency": 1.0}
  system = make(num_frames=2, light_per="track", weights=weights)
  variables = jax.jit(system.init)(KEY)
  batch = {"frames": frames(8, 2)}
  found = {}
  for count in (1, 8):
    mesh = sharding.make_mesh(jax.devices()[:count])
    whole = sharding.replicated(mesh)
    step = jax.jit(
      jax.value_and_grad(
        lambda params, batch: system.loss_fn(
          params, {}, {}, batch, band(0, 8), KEY
        )[0]
      ),
      in_shardings=(whole, sharding.by_row(mesh)),
      out_shardings=whole,
    )
    found[count] = jax.device_get(step(variables.params, batch))
  np.testing.assert_allclose(found[1][0], found[8][0], rtol=1e-5)
  for name, tree in found[1][1].items():
    # Sums are taken in another order, and a pixel whose centre is at an edge
    # may change sides, which moves all weights behind it a little.
    one, many = (
      np.concatenate([x.ravel() for x in jax.tree.leaves(t)])
      for t in (tree, found[8][1][name])
    )
    assert np.linalg.norm(one - many) < 1e-2 * np.linalg.norm(one), name


def test_mirror_of_the_mirror_is_the_face():
  rng = np.random.default_rng(0)
  depth = rng.uniform(0.9, 1.1, (2, 8, 8)).astype(np.float32)
  albedo = rng.uniform(-1, 1, (2, 8, 8, 3)).astype(np.float32)
  light, view = np.arange(8.0).reshape(2, 4), np.arange(12.0).reshape(2, 6)
  face = rendering.Face(depth, albedo, light, view)
  both = rendering.with_mirror(face)
  np.testing.assert_array_equal(both.depth[0::2], depth)
  np.testing.assert_array_equal(both.depth[1::2], depth[:, :, ::-1])
  np.testing.assert_array_equal(both.albedo11[1::2], albedo[:, :, ::-1])
  for name in ("light", "view"):
    for part in rendering.unpair(getattr(both, name)):
      np.testing.assert_array_equal(part, getattr(face, name))


def test_consistency_is_zero_for_equal_frames_and_counts_differences():
  rng = np.random.default_rng(0)
  depth = rng.uniform(0.9, 1.1, (2, 16, 16)).astype(np.float32)
  albedo = rng.uniform(-1, 1, (2, 16, 16, 3)).astype(np.float32)
  numbers = np.zeros((4, 6), np.float32)
  face = rendering.Face(
    np.repeat(depth, 2, 0), np.repeat(albedo, 2, 0), numbers[:, :4], numbers
  )
  same = autoencoder_loss.consistency(face, 2)
  assert same["albedo_consistency"] == 0 and same["shape_consistency"] == 0
  # Of one track in two, one frame is lighter by 0.2: each frame of it is 0.1
  # off the mean. Its depth is off by 0.01, of half a range of 0.1.
  other = face._replace(
    albedo11=face.albedo11 + np.array([0, 0.2, 0, 0]).reshape(4, 1, 1, 1),
    depth=face.depth + np.array([0, 0.01, 0, 0]).reshape(4, 1, 1),
  )
  found = autoencoder_loss.consistency(other, 2)
  np.testing.assert_allclose(found["albedo_consistency"], 0.05, rtol=1e-5)
  np.testing.assert_allclose(found["shape_consistency"], 0.025, rtol=1e-5)
  # A wave within the cells moves no cell.
  wave = np.where(np.arange(16) % 2, 0.01, -0.01).reshape(1, 1, 16)
  moved = face.depth + wave * np.array([0, 1, 0, 0]).reshape(4, 1, 1)
  found = autoencoder_loss.consistency(face._replace(depth=moved), 2)
  np.testing.assert_allclose(found["shape_consistency"], 0, atol=1e-6)


def test_roughness_is_of_bends_alone():
  row = np.arange(8.0)
  slope = 1.0 + 0.01 * (row[None, :, None] + 2 * row[None, None, :])
  np.testing.assert_allclose(autoencoder_loss.roughness(slope), 0, atol=1e-5)
  # Bent by 0.02 from column to column, along one axis of two.
  bent = 1.0 + 0.01 * np.square(row)[None, None, :] + np.zeros((1, 8, 1))
  np.testing.assert_allclose(autoencoder_loss.roughness(bent), 0.1, rtol=1e-4)


@pytest.mark.parametrize("upright", [1.0, 0.2])
def test_training_can_begin_with_a_dome(tiny, upright):
  _, variables = tiny
  system = make(depth_gain=0.0, depth_prior=0.5, depth_prior_upright=upright)
  images = first_frames({"frames": frames(1)})
  depth = jax.jit(system.factors)(variables, images)["canonical_depth"][0]
  place = np.square(np.linspace(-1, 1, 64))
  raw = 0.5 * (upright * place[:, None] + place[None])
  want = 1.0 + 0.1 * np.tanh(raw - raw.mean())
  np.testing.assert_allclose(depth[:, 2:-2], want[:, 2:-2], atol=1e-5)
  assert depth[32, 32] < 1.0 < depth[0, 2]


def test_light_of_a_track_is_that_of_its_first_frame():
  rows = np.arange(24.0).reshape(6, 4)
  got = autoencoder_reconstruct.of_first_frame(rows, 3)
  np.testing.assert_array_equal(got, rows[[0, 0, 0, 3, 3, 3]])


def test_padded_rows_do_not_count(tiny):
  system, variables = tiny
  evaluate = jax.jit(system.eval_fn)
  full = {"frames": frames(2), "weight": jnp.ones(2)}
  padded = {
    "frames": jnp.concatenate([full["frames"], frames(2, seed=1)]),
    "weight": jnp.array([1.0, 1.0, 0.0, 0.0]),
  }
  a, b = evaluate(variables, full), evaluate(variables, padded)
  for name, (total, weight) in a.items():
    np.testing.assert_allclose(total, b[name][0], rtol=1e-5, err_msg=name)
    np.testing.assert_allclose(weight, b[name][1], rtol=1e-6, err_msg=name)
  assert a["loss"][1] == 2


def test_errors_of_evaluation_are_those_of_the_pictures(tiny):
  system, variables = tiny
  batch = {"frames": frames(2), "weight": jnp.ones(2)}
  sums = jax.jit(system.eval_fn)(variables, batch)
  images01 = first_frames(batch)
  factors = jax.jit(system.factors)(variables, images01)
  # What the mirror shows too; without it, at most a border is gained.
  share = float(sums["mask_share"][0] / sums["mask_share"][1])
  assert 0 <= factors["mask"].mean() - share < 0.1
  error = jnp.abs(factors["reconstruction"] - images01).mean(-1)
  seen = (error * factors["mask"]).sum() / factors["mask"].sum()
  np.testing.assert_allclose(sums["l1"][0] / sums["l1"][1], seen, rtol=0.05)
  mean = images01.mean((1, 2), keepdims=True)
  flat = jnp.abs(images01 - mean).mean()
  found = sums["l1_mean_colour"][0] / sums["l1_mean_colour"][1]
  np.testing.assert_allclose(found, flat, rtol=0.05)


def test_features_do_not_depend_on_the_rest_of_the_batch(tiny):
  system, variables = tiny
  images = first_frames({"frames": frames(3)})
  represent = jax.jit(system.represent, static_argnames="train")
  whole, model_state = represent(variables, images, KEY)
  assert model_state == {}
  shapes = {name: value.shape for name, value in whole.items()}
  assert shapes == {
    "albedo_code": (3, 8),
    "depth_code": (3, 8),
    "view": (3, 6),
    "light": (3, 4),
  }
  alone, _ = represent(variables, images[1:2], KEY)
  trained, model_state = represent(variables, images, KEY, train=True)
  assert model_state == {}
  for name, value in whole.items():
    # Another batch size is another program: float32 rounding only.
    np.testing.assert_allclose(alone[name][0], value[1], rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(trained[name], value, rtol=1e-4, atol=1e-6)


def test_factors_are_in_their_ranges_and_fit_together(tiny):
  system, variables = tiny
  images = first_frames({"frames": frames(2)})
  out = jax.device_get(jax.jit(system.factors)(variables, images))
  maps = ("canonical_depth", "depth", "mask", "confidence")
  for name in maps:
    assert out[name].shape == (2, 64, 64), name
  for name in ("albedo", "shading", "canonical", "reconstruction"):
    assert out[name].shape == (2, 64, 64, 3), name
    assert out[name].min() >= 0 and out[name].max() <= 1, name
  assert out["normal"].shape == (2, 64, 64, 3)
  assert out["canonical_depth"].min() >= 0.9
  assert out["canonical_depth"].max() <= 1.1
  np.testing.assert_array_equal(out["mask"] == 1, out["depth"] < 1.15)
  lengths = np.linalg.norm(out["normal"], axis=-1)
  assert lengths.min() > 0.9 and lengths.max() <= 1 + 1e-6
  assert (out["confidence"] > 0).all()
  # View: the network's numbers in radians and scene units.
  raw = np.asarray(jax.jit(system.represent)(variables, images, KEY)[0]["view"])
  scale = np.array([np.pi / 3] * 3 + [0.1, 0.1, 0.0])
  np.testing.assert_allclose(out["view"], raw * scale, rtol=1e-4, atol=1e-7)


def test_reconstruction_is_grey_where_nothing_is_seen(tiny):
  system, variables = tiny
  batch = {"frames": frames(2)}
  images = jax.jit(system.reconstruct)(variables, batch)
  assert set(images) == {"target", "reconstruction", "mean colour"}
  for value in images.values():
    assert value.shape == (2, 64, 64, 3)
    assert value.min() >= 0 and value.max() <= 1
  images01 = first_frames(batch)
  np.testing.assert_allclose(images["target"], images01, atol=1e-6)
  out = jax.jit(system.factors)(variables, images01)
  want = jnp.where(out["mask"][..., None] == 1, out["reconstruction"], 0.5)
  np.testing.assert_allclose(images["reconstruction"], want, atol=1e-5)


def test_pictures_are_pictures(tiny):
  system, variables = tiny
  columns = jax.jit(system.pictures)(variables, {"frames": frames(2)})
  yaws = [f"yaw {yaw:+d}" for yaw in panels.YAWS_DEG]
  assert list(columns) == [
    *("input", "rebuilt", "albedo", "shading", "depth", "normals", "canonical"),
    *(*yaws, "confidence", "error x 3"),
  ]
  for name, value in columns.items():
    assert value.shape == (2, 64, 64, 3), name
    assert value.min() >= 0 and value.max() <= 1, name
  # Seen from the front, the face is the canonical picture.
  np.testing.assert_allclose(columns["yaw +0"], columns["canonical"], atol=2e-3)


def test_without_confidence_there_is_no_network_for_it():
  system = make(use_confidence=False)
  params = jax.eval_shape(system.init, KEY).params
  assert set(params) == {"depth", "albedo", "light", "view"}
  variables = jax.eval_shape(system.init, KEY)
  batch = {"frames": jax.ShapeDtypeStruct((1, 1, 64, 64, 3), np.uint8)}
  columns = jax.eval_shape(system.pictures, variables, batch)
  assert "input" in columns and "confidence" not in columns


def test_frozen_networks_get_no_gradient_but_have_their_effect(tiny):
  _, variables = tiny
  system = make(frozen=("light", "view"))
  parted = jax.jit(system.init)(KEY)
  assert set(parted.params) == {"depth", "albedo", "confidence"}
  assert set(parted.frozen) == {"light", "view"}
  images = first_frames({"frames": frames(2)})
  got, _ = jax.jit(system.represent)(parted, images, KEY)
  want, _ = jax.jit(make().represent)(variables, images, KEY)
  for name, value in want.items():
    # Two programs: float32 rounding only.
    np.testing.assert_allclose(got[name], value, rtol=1e-5, atol=1e-7)


def test_room_that_does_not_suffice_is_a_failure():
  system = make(render_capacity=0.1, softness_edge_px=1.0, softness_depth=0.01)
  variables = jax.jit(system.init)(KEY)
  _, (_, metrics) = loss_of(system, variables, {"frames": frames(1)})
  assert metrics["num_dropped"] > 0
  [found] = system.diagnose({"num_dropped": float(metrics["num_dropped"])})
  assert found.is_fatal and found.kind == "num_dropped"
  assert "config.autoencoder.model.render_capacity above 0.1" in found.text
  assert system.diagnose({"num_dropped": 0.0, "loss": 1.0}) == []
  [found] = system.diagnose({"yaw_std_deg": 0.0})
  assert found.kind == "yaw_std_deg" and not found.is_fatal


@pytest.mark.parametrize(
  ("changes", "text"),
  [
    (
      {"size_px": 48},
      "config.autoencoder.model.size_px: expected one of 64, 128, 256",
    ),
    (
      {"width": 8},
      "config.autoencoder.model.width: expected a multiple of 16, got 8",
    ),
    ({"light_per": "batch"}, "light_per: expected one of image, track"),
    (
      {"cross_frame": "next"},
      "config.autoencoder.model.cross_frame='next' takes the face",
    ),
    ({"image_formation": "draw"}, "image_formation: expected one of"),
    (
      {"pixel_grid": "own"},
      "config.autoencoder.model.pixel_grid: expected one of",
    ),
    (
      {"perceptual": "vgg"},
      "config.autoencoder.model.perceptual: expected one of vgg16",
    ),
    (
      {"frozen": ("decoder",)},
      "config.autoencoder.model.frozen=.*some, not all",
    ),
    (
      {"num_frames": 0},
      "config.autoencoder.model.num_frames: expected a whole",
    ),
    ({"softness_edge_px": 1.0}, "softness_depth=0.0: expected both 0"),
    ({"max_angle_deg": 90.0}, "max_angle_deg: expected a number, more than 0"),
    ({"weights": {"shape_consistency": 1.0}}, "num_frames is 1. Set it to 2"),
    ({"weights": {"mirror": -1.0}}, "weights.mirror: expected a number from"),
  ],
)
def test_settings_that_cannot_work_are_refused(changes, text):
  with pytest.raises(errors.InputError, match=text):
    make(**changes)


@pytest.mark.parametrize("preset", latentface.PRESETS)
def test_every_preset_builds_its_system(preset):
  config = stages.config_of(latentface.get_config(preset), "autoencoder")
  system = base.build(config)
  assert system.size_px == config.model.size_px
  is_light = preset not in ("paper", "small")
  assert system.num_frames == (2 if is_light else 1)
  if preset == "small":
    params = jax.eval_shape(system.init, KEY).params
    used = [params[name] for name in ("depth", "albedo", "light", "view")]
    count = sum(x.size for x in jax.tree.leaves(used))
    assert 2 * count <= 15e6


def test_unknown_stages_and_presets_are_refused():
  config = stages.config_of(latentface.get_config(), "autoencoder")
  config.stage = "all"
  with pytest.raises(errors.InputError, match="config.stage: expected one of"):
    base.build(config)
  with pytest.raises(errors.InputError, match="no preset 'tiny'"):
    latentface.get_config("tiny")
