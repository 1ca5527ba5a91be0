import jax
import jax.numpy as jnp
import numpy as np
import pytest

from facerep_jax import sharding
from facerep_jax.faces import rendering
from facerep_jax.systems import (
  autoencoder_loss,
  autoencoder_reconstruct,
  autoencoder_settings,
)
from tests import tiny_autoencoder


@pytest.fixture(scope="module")
def tiny():
  system = tiny_autoencoder.make()
  return system, jax.jit(system.init)(tiny_autoencoder.KEY)


def test_the_band_trains_the_easiest_images():
  system = tiny_autoencoder.make(perceptual="none")
  variables = jax.jit(system.init)(tiny_autoencoder.KEY)
  batch = {"frames": tiny_autoencoder.frames(4, 1)}
  # Of a batch that holds one row four times: a program for all.
  alone = [
    float(tiny_autoencoder.loss_of(system, variables, {"frames": row})[0])
    for row in np.repeat(batch["frames"][:, None], 4, axis=1)
  ]
  ranked = np.sort(alone)
  for start, stop in ((0, 2), (2, 4), (1, 4)):
    # Sums are reordered.
    np.testing.assert_allclose(
      tiny_autoencoder.loss_of(system, variables, batch, start, stop)[0],
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
  system = tiny_autoencoder.make(
    perceptual="gradients", num_frames=2, weights=weights
  )
  variables = jax.jit(system.init)(tiny_autoencoder.KEY)
  loss, (model_state, metrics) = tiny_autoencoder.loss_of(
    system, variables, {"frames": tiny_autoencoder.frames(2, 2)}
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
    variables, {"frames": tiny_autoencoder.frames(2, 2), "weight": jnp.ones(2)}
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
    tiny_autoencoder.make(perceptual="none", num_frames=2, cross_frame=kind)
    for kind in ("own", "next")
  )
  variables = jax.jit(own.init)(tiny_autoencoder.KEY)
  pictures = tiny_autoencoder.frames(2, 2)
  # Between frames that are equal there is nothing to exchange.
  still = {"frames": np.repeat(pictures[:, :1], 2, axis=1)}
  moving = {"frames": pictures}
  losses = [
    [
      float(tiny_autoencoder.loss_of(s, variables, batch)[0])
      for s in (own, following)
    ]
    for batch in (still, moving)
  ]
  # Two programs: float32 rounding only.
  np.testing.assert_allclose(losses[0][0], losses[0][1], rtol=1e-6)
  assert abs(losses[1][0] - losses[1][1]) > 1e-4


def test_every_network_learns(tiny):
  system, variables = tiny
  grads = jax.jit(jax.grad(lambda *args: system.loss_fn(*args)[0]))(
    variables.params,
    {},
    {},
    {"frames": tiny_autoencoder.frames(2)},
    tiny_autoencoder.band(0, 2),
    tiny_autoencoder.KEY,
  )
  assert set(grads) == set(autoencoder_settings.NETWORKS)
  for name, tree in grads.items():
    assert max(jnp.abs(x).max() for x in jax.tree.leaves(tree)) > 1e-4, name


@pytest.mark.many_devices
def test_gradients_do_not_depend_on_device_count():
  weights = {"albedo_consistency": 1.0, "shape_consistency": 1.0}
  system = tiny_autoencoder.make(
    num_frames=2, light_per="track", weights=weights
  )
  variables = jax.jit(system.init)(tiny_autoencoder.KEY)
  batch = {"frames": tiny_autoencoder.frames(8, 2)}
  found = {}
  for count in (1, 8):
    mesh = sharding.make_mesh(jax.devices()[:count])
    whole = sharding.replicated(mesh)
    step = jax.jit(
      jax.value_and_grad(
        lambda params, batch: system.loss_fn(
          params,
          {},
          {},
          batch,
          tiny_autoencoder.band(0, 8),
          tiny_autoencoder.KEY,
        )[0]
      ),
      in_shardings=(whole, sharding.by_row(mesh)),
      out_shardings=whole,
    )
    found[count] = jax.device_get(step(variables.params, batch))
  np.testing.assert_allclose(found[1][0], found[8][0], rtol=1e-5)
  for name, tree in found[1][1].items():
    # Sums are taken in another order. These gradients are as sensitive: on one
    # device the last bit of the weights moves their norm by up to 0.23 %.
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
  system = tiny_autoencoder.make(
    depth_gain=0.0, depth_prior=0.5, depth_prior_upright=upright
  )
  images = tiny_autoencoder.first_frames({"frames": tiny_autoencoder.frames(1)})
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
  full = {"frames": tiny_autoencoder.frames(2), "weight": jnp.ones(2)}
  padded = {
    "frames": jnp.concatenate(
      [full["frames"], tiny_autoencoder.frames(2, seed=1)]
    ),
    "weight": jnp.array([1.0, 1.0, 0.0, 0.0]),
  }
  a, b = evaluate(variables, full), evaluate(variables, padded)
  for name, (total, weight) in a.items():
    np.testing.assert_allclose(total, b[name][0], rtol=1e-5, err_msg=name)
    np.testing.assert_allclose(weight, b[name][1], rtol=1e-6, err_msg=name)
  assert a["loss"][1] == 2


def test_errors_of_evaluation_are_those_of_the_pictures(tiny):
  system, variables = tiny
  batch = {"frames": tiny_autoencoder.frames(2), "weight": jnp.ones(2)}
  sums = jax.jit(system.eval_fn)(variables, batch)
  images01 = tiny_autoencoder.first_frames(batch)
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


def test_room_that_does_not_suffice_is_a_failure():
  system = tiny_autoencoder.make(
    render_capacity=0.1, softness_edge_px=1.0, softness_depth=0.01
  )
  variables = jax.jit(system.init)(tiny_autoencoder.KEY)
  _, (_, metrics) = tiny_autoencoder.loss_of(
    system, variables, {"frames": tiny_autoencoder.frames(1)}
  )
  assert metrics["num_dropped"] > 0
  [found] = system.diagnose({"num_dropped": float(metrics["num_dropped"])})
  assert found.is_fatal and found.kind == "num_dropped"
  assert "config.autoencoder.model.render_capacity above 0.1" in found.text
  assert system.diagnose({"num_dropped": 0.0, "loss": 1.0}) == []
  [found] = system.diagnose({"yaw_std_deg": 0.0})
  assert found.kind == "yaw_std_deg" and not found.is_fatal
