import jax
import jax.numpy as jnp
import numpy as np
import pytest

from facerep_jax.benchmarks import render as render_benchmark
from facerep_jax.benchmarks.reference import brute_force
from facerep_jax.ops import camera as cameras
from facerep_jax.ops import render

SIZE = 16


@pytest.fixture(scope="module")
def batch():
  return render_benchmark.face_batch(SIZE, 2)


def drawn(draw, batch, softness):
  """The picture, and the gradient of a weighted sum of all of it."""
  rng = np.random.default_rng(3)
  shapes = [batch["colour"].shape] + 2 * [batch["depth"].shape]
  weights = [rng.normal(size=shape).astype(np.float32) for shape in shapes]

  def total(batch):
    pose = cameras.pose_from_view(batch["view"])
    seen = draw(
      *(batch["depth"], batch["colour"], pose, cameras.Camera(SIZE)),
      softness=softness,
    )
    return sum(jnp.sum(a * w) for a, w in zip(seen[:3], weights)), seen

  (_, seen), gradient = jax.jit(jax.value_and_grad(total, has_aux=True))(batch)
  return seen, gradient


@pytest.mark.parametrize(
  "edge_px", [pytest.param(0.5, marks=pytest.mark.slow), 1.0]
)
def test_same_pictures_and_gradients_as_the_renderer(
  batch, monkeypatch, edge_px
):
  # Many chunks of pixels, which must come together in order.
  monkeypatch.setattr(brute_force, "_PAIRS_AT_A_TIME", 450 * 24)
  softness = render.Softness(edge_px, 0.01)
  want, want_gradient = drawn(render.render_depth_map, batch, softness)
  got, gradient = drawn(brute_force.render_depth_map, batch, softness)
  assert want.num_dropped.sum() == 0 and got.num_dropped.shape == (2,)
  # The face covers much of the picture, not all of it.
  assert 0.3 < want.mask.mean() < 0.98
  for name in ("colour", "depth", "mask"):
    # Float32; sums are taken in another order.
    np.testing.assert_allclose(
      getattr(got, name), getattr(want, name), atol=1e-5, err_msg=name
    )
  for name, value in want_gradient.items():
    # Gradients to geometry cancel in part, and grow with the focal length.
    scale = np.abs(value).max()
    np.testing.assert_allclose(
      gradient[name] / scale, value / scale, atol=1e-4, err_msg=name
    )


def test_no_surface_is_background():
  batch = render_benchmark.face_batch(SIZE, 1)
  view = np.array([[0, 0, 0, 0.9, 0, 0]], np.float32)
  pose = cameras.pose_from_view(view)
  seen = brute_force.render_depth_map(
    *(batch["depth"], batch["colour"], pose, cameras.Camera(SIZE)),
    softness=render.Softness(1.0, 0.01),
    background=0.25,
    background_depth=1.5,
  )
  np.testing.assert_array_equal(seen.mask[0, :, 0], 0)
  np.testing.assert_array_equal(seen.colour[0, :, 0], 0.25)
  np.testing.assert_array_equal(seen.depth[0, :, 0], 1.5)
