import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.test_util import check_grads

from facerep_jax.ops import camera as cameras
from facerep_jax.ops import render
from tests.ops import scenes

SIZE = 12
CAMERA = cameras.Camera(SIZE)
SOFT = render.Softness(1.0, 0.01)
SEEDS = pytest.mark.parametrize(
  "seed", (0, *(pytest.param(n, marks=pytest.mark.slow) for n in (1, 2, 3)))
)
BOTH = pytest.mark.parametrize(
  "softness", (render.HARD, SOFT), ids=("hard", "soft")
)


def _scalar(out, seed=3):
  """A random weighting of all that is drawn."""
  rng = np.random.default_rng(seed)
  return sum(
    jnp.sum(rng.normal(size=x.shape) * x)
    for x in (out.colour, out.depth, out.mask)
  )


@SEEDS
def test_soft_gradient_to_vertices_colours_and_focal_length(seed):
  """At silhouettes and where one triangle hides another."""
  camera = cameras.Camera(6)
  points, faces, colours = scenes.soup(seed, 4, camera, np.float64)

  def f(points, colours, zoom):
    scale = jnp.stack([zoom, zoom, jnp.ones_like(zoom)])
    points = points * scale[None, None]
    return _scalar(
      render.render_mesh(
        points,
        faces,
        colours,
        camera,
        softness=render.Softness(1.2, 0.05),
        capacity_factor=9.0,
      )
    )

  with jax.enable_x64():
    arguments = (jnp.array(points), jnp.array(colours), jnp.array(1.05))
    check_grads(jax.jit(f), arguments, 1, ("rev",), eps=1e-7, rtol=1e-3)


@SEEDS
def test_soft_gradient_to_pose_depth_and_colours(seed):
  camera = cameras.Camera(6)
  rng = np.random.default_rng(seed)
  view = rng.uniform(-0.7, 0.7, (1, 6))
  depth = scenes.nose(6, np.float64) + rng.normal(scale=0.003, size=(1, 6, 6))

  def f(view, depth, colour):
    pose = cameras.pose_from_view(view, max_shift_z=0.02)
    return _scalar(
      render.render_depth_map(
        depth, colour, pose, camera, softness=SOFT, capacity_factor=9.0
      )
    )

  with jax.enable_x64():
    arguments = (view, depth, scenes.picture(6, np.float64))
    check_grads(
      jax.jit(f), map(jnp.array, arguments), 1, ("rev",), eps=1e-7, rtol=1e-3
    )


@SEEDS
def test_hard_gradient_with_the_same_triangles_seen(seed):
  """Steps of 1e-7 px change what is seen at no pixel of these scenes."""
  points, faces, colours = scenes.soup(seed, 5, CAMERA, np.float64)

  def f(points, colours):
    return _scalar(render.render_mesh(points, faces, colours, CAMERA))

  with jax.enable_x64():
    arguments = (jnp.array(points), jnp.array(colours))
    check_grads(jax.jit(f), arguments, 1, ("rev",), eps=1e-9, rtol=1e-3)


# Learning from a silhouette alone.


def _wedge(angles_rad, shift):
  """An asymmetric solid in view: vertices [1, 5, 3]."""
  points = np.array(
    [[-5, -3, 0], [6, -4, 1], [2, 6, -1], [-3, 4, 2], [0, 0, -6]], np.float32
  )
  turn = cameras.euler_to_rotation(angles_rad[None])[0]
  points = jnp.sum(turn[None] * (0.008 * points)[:, None], axis=-1)
  return (points + (shift + jnp.array([0.0, 0.0, 1.0]))[None])[None]


WEDGE_FACES = [[0, 1, 4], [1, 2, 4], [2, 3, 4], [3, 0, 4], [0, 2, 1], [0, 3, 2]]


@functools.partial(jax.jit, static_argnames="softness")
def _mask(parameters, softness):
  vertices = _wedge(parameters["angles_rad"], parameters["shift"])
  colours = jnp.ones_like(vertices)
  camera = cameras.Camera(24)
  return render.render_mesh(
    vertices,
    WEDGE_FACES,
    colours,
    camera,
    softness=softness,
    capacity_factor=6.0,
  ).mask


def _parameters(angles_deg, shift):
  return {
    "angles_rad": jnp.deg2rad(jnp.array(angles_deg, jnp.float32)),
    "shift": jnp.array(shift, jnp.float32),
  }


TARGET = ((0.0, 20.0, 10.0), (0.0, 0.0, 0.0))
STARTS = {
  "roll": ((0.0, 20.0, 32.0), (0.0, 0.0, 0.0)),
  "yaw": ((0.0, -8.0, 10.0), (0.0, 0.0, 0.0)),
  "shift": ((0.0, 20.0, 10.0), (0.02, -0.015, 0.0)),
}


@pytest.mark.parametrize(
  "start", ("roll", "shift", pytest.param("yaw", marks=pytest.mark.slow))
)
def test_a_soft_silhouette_teaches_pose_and_a_hard_one_nothing(start):
  softness = render.Softness(3.0, 0.02)
  target = {s: _mask(_parameters(*TARGET), s) for s in (softness, render.HARD)}

  def loss(parameters, softness):
    return jnp.mean((_mask(parameters, softness) - target[softness]) ** 2)

  # Only what was moved is learned.
  moved = "shift" if start == "shift" else "angles_rad"
  axis = {"roll": 2, "yaw": 1}.get(start)
  keep = jnp.ones(3) if axis is None else jnp.zeros(3).at[axis].set(1.0)
  parameters = _parameters(*STARTS[start])
  value, hard = jax.jit(jax.value_and_grad(lambda p: loss(p, render.HARD)))(
    parameters
  )
  assert value > 0.01
  for grad in hard.values():
    np.testing.assert_array_equal(grad, 0)
  optimiser = optax.adam(0.002 if moved == "shift" else 0.03)
  state = optimiser.init(parameters[moved])

  @jax.jit
  def step(value, state):
    at = lambda value: loss({**parameters, moved: value}, softness)
    grad = jax.grad(at)(value) * keep
    update, state = optimiser.update(grad, state)
    return value + update * keep, state

  value = parameters[moved]
  with jax.numpy_dtype_promotion("standard"):  # Optax relies on it.
    for _ in range(60):
      value, state = step(value, state)
  want = _parameters(*TARGET)[moved]
  # A degree; a fifth of a pixel, of which 23 span 0.175.
  error = np.abs((value - want) * keep)
  if moved == "shift":
    assert error[:2].max() < 0.2 * 0.175 / 23
  else:
    assert error.max() < np.deg2rad(1)


# Nothing is ever not a number.


FACE = [[-0.05, -0.05, 1], [0.06, -0.04, 1], [0, 0.07, 1.1]]
ODD_FACES = [[0, 1, 2], [1, 3, 2], [2, 1, 0], [0, 1, 2], [0, 0, 3]]
ODD = {
  "all in one point": [[0, 0, 1]] * 4,
  "a level line": [[-0.05, 0, 1], [0, 0, 1], [0.05, 0, 1], [0.08, 0, 1]],
  "an upright line": [[0, -0.05, 1], [0, 0, 1], [0, 0.05, 1], [0, 0.08, 1]],
  "a slanted line": [[0.02 * k, 0.013 * k, 1] for k in range(4)],
  "corners that coincide": [FACE[0], FACE[0], FACE[1], FACE[2]],
  "one corner behind": [*FACE, [0, 0, -1]],
  "one in the plane of the camera": [*FACE, [0, 0, 0]],
  "one very near": [*FACE, [0.01, 0, 2e-3]],
  "one nearer than is drawn": [*FACE, [0, 0, 1e-30]],
  "all behind": np.multiply([*FACE, [0.07, 0.08, 1]], -1),
  "outside": np.add([*FACE, [0.07, 0.08, 1]], [9, 0, 0]),
  "all pixels covered": np.multiply([*FACE, [0.07, 0.08, 1]], [1e2, 1e2, 1]),
  "huge": np.multiply([*FACE, [0.07, 0.08, 1]], [1e6, 1e6, 1]),
  "tiny": np.multiply([*FACE, [0.07, 0.08, 1]], [1e-6, 1e-6, 1]),
}


def _value_and_gradient(points, faces, softness):
  """Of float32 vertices [N, V, 3]."""
  points = jnp.asarray(points, jnp.float32)
  rng = np.random.default_rng(0)
  colours = jnp.asarray(rng.uniform(size=points.shape), jnp.float32)

  @jax.jit
  @functools.partial(jax.value_and_grad, argnums=(0, 1), has_aux=True)
  def f(points, colours):
    out = render.render_mesh(
      points, faces, colours, CAMERA, softness=softness, capacity_factor=9.0
    )
    return _scalar32(out), out

  return f(points, colours)


def _scalar32(out):
  return sum(
    jnp.sum(jnp.asarray(w, jnp.float32) * x)
    for w, x in zip((1.0, 0.7, 0.3), (out.colour, out.depth, out.mask))
  )


def _all_finite(tree):
  return all(np.isfinite(x).all() for x in jax.tree.leaves(tree))


@BOTH
def test_odd_meshes_are_finite(softness):
  points = np.array(list(ODD.values()), np.float32)
  (_, out), grads = _value_and_gradient(points, ODD_FACES, softness)
  np.testing.assert_array_equal(out.num_dropped, 0)
  for n, name in enumerate(ODD):
    assert all(_all_finite(x[n]) for x in (*out, *grads)), name
  covers = dict(zip(ODD, np.mean(out.mask, (1, 2))))
  assert covers["all pixels covered"] == covers["huge"] == 1
  for name in ("a level line", "a slanted line", "all behind", "outside"):
    assert covers[name] == 0, name
  assert covers["one corner behind"] > 0.1


@BOTH
def test_what_is_not_finite_is_not_drawn(softness):
  points = np.array([[*FACE, *FACE]] * 4)
  for n, number in enumerate((np.nan, np.inf, -np.inf)):
    points[n, 3, 0] = points[n, 4, 2] = number
  points[3, 3:] = 9.0  # Not in sight.
  faces = [[0, 1, 2], [3, 4, 5]]
  (_, out), grads = _value_and_gradient(points, faces, softness)
  assert _all_finite((out.mask, out.depth, grads))
  np.testing.assert_allclose(np.ptp(out.mask, axis=0), 0, atol=1e-6)
  assert np.mean(out.mask[3]) > 0.1


@BOTH
def test_steep_and_rough_depth_maps_are_finite(softness):
  rng = np.random.default_rng(0)
  depth = rng.uniform(0.9, 1.1, (3, SIZE, SIZE)).astype(np.float32)
  colour = np.repeat(scenes.picture(SIZE), 3, 0)
  view = np.array(
    [[0, 0, 0, 0, 0, 0], [0, 1, 0, 0, 0, 0], [1, -1, 1, 1, -1, 0]], np.float32
  )

  @jax.jit
  @functools.partial(jax.value_and_grad, argnums=(0, 1, 2), has_aux=True)
  def f(depth, colour, view):
    pose = cameras.pose_from_view(view, max_angle_deg=90.0)
    out = render.render_depth_map(
      depth, colour, pose, CAMERA, softness=softness, capacity_factor=20.0
    )
    return _scalar32(out), out

  (value, out), grads = f(depth, colour, view)
  np.testing.assert_array_equal(out.num_dropped, 0)
  assert _all_finite((value, out, grads))
  assert np.abs(grads[2]).max() < 1e5
