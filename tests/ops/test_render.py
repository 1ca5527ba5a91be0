import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from facerep_jax import errors, sharding
from facerep_jax.ops import camera as cameras
from facerep_jax.ops import grid_mesh, render, warp
from tests.ops import scenes
from tests.oracles import render as oracle

SIZE = 12
CAMERA = cameras.Camera(SIZE)
SOFT = render.Softness(1.0, 0.01)
BOTH = pytest.mark.parametrize(
  "softness", (render.HARD, SOFT), ids=("hard", "soft")
)


@functools.partial(
  jax.jit, static_argnames=("camera", "softness", "pixel_grid")
)
def _draw(
  depth,
  colour,
  pose,
  camera=CAMERA,
  softness=render.HARD,
  pixel_grid="consistent",
):
  return render.render_depth_map(
    depth,
    colour,
    pose,
    camera,
    softness=softness,
    pixel_grid=pixel_grid,
    capacity_factor=4.0,
  )


def _batch(poses, size=SIZE, dtype=np.float32):
  """Depth, colours and pose of a batch, all of the same face."""
  num = len(poses)
  repeat = lambda x: np.concatenate([x(size, dtype)] * num)
  pose = cameras.Pose(*(np.concatenate(p).astype(dtype) for p in zip(*poses)))
  return repeat(scenes.nose), repeat(scenes.picture), pose


POSES = (
  scenes.pose(3, 10, -5),
  scenes.pose(-20, 40, 10, (0.01, 0.02, 0)),
  scenes.pose(0, -60, 0),
  scenes.pose(50, 0, 30, (-0.02, 0, 0.05)),
)


# What is drawn.


@BOTH
@pytest.mark.parametrize("pixel_grid", render.PIXEL_GRIDS)
def test_meshes_match_the_oracle(softness, pixel_grid):
  points, faces, colours = scenes.soup(7, 9, CAMERA)
  out = jax.jit(
    lambda points, colours: render.render_mesh(
      points,
      faces,
      colours,
      CAMERA,
      softness=softness,
      pixel_grid=pixel_grid,
      background=0.3,
      background_depth=1.5,
      capacity_factor=9.0,
    )
  )(points, colours)
  xy, depth, values = scenes.seen(points[0], colours[0], CAMERA)
  if pixel_grid == "published":
    # Their pixel i lies at (2 i + 1) / S - 1 of the field of view.
    xy = (xy / CAMERA.middle_px * SIZE - 1) / 2
  mesh, empty = (xy, depth, values, faces, SIZE), (0.3, 0.3, 0.3, 1.5)
  if softness == render.HARD:
    face, want, _, edge_px = oracle.hard(*mesh, empty)
    mask, clear = face >= 0, edge_px > 2e-3
  else:
    want, mask = oracle.soft(*mesh, empty, *softness)
    clear = np.ones((SIZE, SIZE), bool)
  assert clear.mean() > 0.95 and out.num_dropped[0] == 0
  got = np.concatenate([out.colour[0], out.depth[0][..., None]], -1)
  # Float32 weights of large triangles.
  is_same = np.abs(got - want).max(-1)[clear] < 1e-3
  # Where two triangles cross, rounding decides which is seen.
  assert is_same.mean() >= 0.99
  np.testing.assert_allclose(out.mask[0][clear], mask[clear], atol=1e-4)


def test_canonical_view_is_the_input():
  depth, colour, pose = _batch([scenes.pose()], 33)
  out = _draw(depth, colour, pose, cameras.Camera(33))
  np.testing.assert_allclose(out.colour, colour, atol=1e-5)
  np.testing.assert_allclose(out.depth, depth, atol=1e-5)
  np.testing.assert_array_equal(out.mask, 1)


def test_published_grid_resamples_the_canonical_view():
  """By (S - 1) / S about the centre."""
  camera = cameras.Camera(33)
  depth, _, pose = _batch([scenes.pose()], 33)
  y, x = np.mgrid[:33, :33].astype(np.float32)
  colour = np.stack([x, y, 0 * x], -1)[None]
  out = _draw(0 * depth + 1, colour, pose, camera, pixel_grid="published")
  want = (x + 0.5) * 32 / 33
  np.testing.assert_allclose(out.colour[0, ..., 0], want, atol=1e-3)
  np.testing.assert_allclose(out.colour[0, ..., 1], want.T, atol=1e-3)


@BOTH
def test_nothing_in_sight_is_background(softness):
  depth, colour, pose = _batch([scenes.pose(shift=(9.0, 0, 0))])
  out = _draw(depth, colour, pose, softness=softness)
  assert (out.colour == 1).all() and not out.mask.any()
  np.testing.assert_allclose(out.depth, 1.2)


def test_warped_colours_are_those_of_the_surface():
  """Where nothing hides: the same as colours carried by the mesh."""
  size, camera = 32, cameras.Camera(32)
  depth, colour, pose = _batch([scenes.pose(5, 15, -5)], size)
  depth = np.float32(1.0 + (depth - depth.mean()) * 0.3)
  drawn = _draw(depth, colour, pose, camera)
  warped = jax.jit(lambda *a: render.warp_by_depth(*a, camera))(
    depth, colour, pose
  )
  np.testing.assert_allclose(warped.depth, drawn.depth, atol=1e-6)
  inner = np.array(drawn.mask[0] > 0)
  grid = cameras.canonical_grid_ndc(drawn.depth, pose, camera)
  inner &= np.abs(grid[0]).max(-1) < 0.85  # The sides stand off steeply.
  assert inner.mean() > 0.4
  # Linear over triangles there, bilinear over pixels here.
  error = np.abs(warped.colour - drawn.colour)[0][inner]
  assert error.mean() < 2e-3 and error.max() < 0.03
  want = warp.bilinear_sample(jnp.asarray(colour), grid)
  np.testing.assert_allclose(warped.colour, want, atol=1e-5)


def test_warping_clamps_depth():
  depth, colour, pose = _batch([scenes.pose()])
  settings = {"min_depth": 1.0, "max_depth": 1.05}
  draw = lambda *a: render.warp_by_depth(*a, CAMERA, **settings)
  out = jax.jit(draw)(depth, colour, pose)
  np.testing.assert_allclose(out.depth, np.clip(depth, 1.0, 1.05), atol=1e-5)


def test_lists_grow_with_pixels_and_triangles():
  faces = lambda size: 2 * (size - 1) ** 2
  for softness in (SOFT, render.Softness(0.5, 0.01)):
    small, large = (
      np.array(render.capacity(s, faces(s), softness, 1.5)) for s in (64, 128)
    )
    assert (large <= 4.2 * small).all()  # Not 16: pixels times triangles.
    assert (large < 16 * 128**2).all()
    many = render.capacity(64, 2 * faces(64), softness, 1.5)
    assert (np.array(many) <= 2 * small).all()


def test_a_grid_is_drawn_as_its_triangles_are():
  depth, colour, pose = _batch(POSES[1:2])
  vertices = cameras.to_view(cameras.back_project(depth, CAMERA), pose, CAMERA)
  colours = colour.reshape(1, -1, 3)

  def loss(vertices, faces):
    out = render.render_mesh(
      vertices, faces, colours, CAMERA, background=0.3, background_depth=1.5
    )
    return jnp.sum(out.colour**2) + jnp.sum(out.depth**2), out

  draw = jax.jit(jax.value_and_grad(loss, has_aux=True))
  vertices = vertices.reshape(1, -1, 3)
  (_, got), got_slope = draw(vertices, grid_mesh.Grid(SIZE, SIZE))
  corners = grid_mesh.grid_faces(SIZE, SIZE)
  draw = jax.jit(jax.value_and_grad(lambda v: loss(v, corners), has_aux=True))
  (_, want), want_slope = draw(vertices)
  for one, other in zip(got, want, strict=True):
    np.testing.assert_array_equal(one, other)
  # Up to six triangles meet in a vertex; their gradients are added in another
  # order.
  assert np.abs(want_slope).max() > 1
  np.testing.assert_allclose(got_slope, want_slope, rtol=1e-4, atol=1e-4)


# One image, many, and many devices.


@pytest.mark.slow
def test_jit_equals_eager():
  arguments = _batch(POSES[1:2], 4)
  camera = cameras.Camera(4)
  want = render.render_depth_map(*arguments, camera, softness=SOFT)
  got = _draw(*arguments, camera, SOFT)
  for name in render.Rendered._fields:
    # Sums in another order.
    np.testing.assert_allclose(
      getattr(got, name), getattr(want, name), atol=1e-5, err_msg=name
    )


@BOTH
def test_images_of_a_batch_do_not_touch_each_other(softness):
  depth, colour, pose = _batch(POSES)
  together = _draw(depth, colour, pose, softness=softness)
  for n in range(len(POSES)):
    one = cameras.Pose(*(x[n : n + 1] for x in pose))
    alone = _draw(depth[n : n + 1], colour[n : n + 1], one, softness=softness)
    for got, want in zip(alone, together):
      np.testing.assert_allclose(got[0], want[n], atol=1e-5)


def test_larger_pictures_show_the_same_field_of_view():
  size = 16
  camera = cameras.Camera(size)
  place = jnp.linspace(-1, 1, size)
  depth = 1 - 0.05 * jnp.exp(-4 * place**2)[None, :, None] * jnp.ones(
    (1, 1, size)
  )
  colour = jnp.stack(jnp.meshgrid(place, place), axis=-1)[None]
  pose = cameras.pose_from_view(jnp.array([[0.2, -0.3, 0.1, 0.1, 0.0, 0.0]]))
  small, large = (
    render.render_depth_map(
      depth, colour, pose, camera, pixel_grid="published", size_px=size_px
    )
    for size_px in (None, 3 * size)
  )
  assert large.colour.shape == (1, 48, 48, 2)
  # The middle one of nine pixels has its centre where the small one has its.
  both = small.mask[0] * large.mask[0, 1::3, 1::3] == 1
  assert both.mean() > 0.5
  off = jnp.abs(small.mask[0] - large.mask[0, 1::3, 1::3])
  assert off.sum() <= 2  # At edges rounding decides.
  np.testing.assert_allclose(
    large.colour[0, 1::3, 1::3][both], small.colour[0][both], atol=1e-4
  )
  np.testing.assert_allclose(
    large.depth[0, 1::3, 1::3][both], small.depth[0][both], atol=1e-5
  )


@pytest.mark.many_devices
@pytest.mark.parametrize(
  "softness", (render.HARD, pytest.param(SOFT, marks=pytest.mark.slow))
)
def test_eight_devices_draw_what_one_draws(softness):
  depth, colour, pose = _batch(POSES * 2)
  batch = {"depth": depth, "colour": colour, **pose._asdict()}

  def loss(scale, batch):
    pose = cameras.Pose(batch["rotation"], batch["translation"])
    out = render.render_depth_map(
      batch["depth"] * scale, batch["colour"], pose, CAMERA, softness=softness
    )
    return jnp.mean(out.colour**2) + jnp.mean(out.depth), out.num_dropped.sum()

  results, programs = [], []
  for devices in (jax.devices()[:1], jax.devices()):
    mesh = sharding.make_mesh(devices)
    function = sharding.jit_on_batch(
      jax.value_and_grad(loss, has_aux=True), mesh
    )
    arguments = (np.float32(1), sharding.put_batch(batch, mesh))
    results.append(jax.tree.map(np.asarray, function(*arguments)))
    programs.append(function.lower(*arguments).compile().as_text())
  for one, eight in zip(*map(jax.tree.leaves, results)):
    np.testing.assert_allclose(one, eight, rtol=1e-4)
  # No device asks for the rows of another.
  for name in ("all-gather", "all-to-all", "collective-permute"):
    assert name not in programs[1], name
  assert "all-reduce" in programs[1]


# What the user is told.


@pytest.mark.parametrize(
  "change, message",
  (
    ({"vertices": np.zeros((2, 3, 2))}, "vertices: expected [N, V, 3]"),
    ({"colours": np.zeros((2, 4, 3))}, "colours: expected [2, 3, C]"),
    ({"faces": [[0, 1, 3]]}, "faces: expected [F, 3] vertex numbers below 3"),
    ({"faces": [[0, 1, -1]]}, "faces: expected [F, 3] vertex numbers below 3"),
    ({"faces": [[0, 1]]}, "got int64[1, 2]"),
    ({"faces": [[0.0, 1.0, 2.0]]}, "got float64[1, 3]"),
    ({"faces": np.zeros((0, 3), int)}, "got int64[0, 3]"),
    ({"faces": grid_mesh.Grid(2, 2)}, "a grid of 3 vertices, with at least"),
    ({"faces": grid_mesh.Grid(1, 3)}, "two rows and columns, got 1 x 3"),
    ({"softness": render.Softness(1.0, 0.0)}, "both 0 or both positive"),
    ({"softness": render.Softness(-1.0, 0.1)}, "got -1.0 and 0.1"),
    ({"pixel_grid": "centred"}, "one of consistent, published, got 'centred'"),
    (
      {"capacity_factor": 0.0},
      "capacity_factor: expected more than 0, got 0.0",
    ),
  ),
)
def test_bad_input_is_one_clear_line(change, message):
  arguments = {
    "vertices": np.ones((2, 3, 3), np.float32),
    "faces": [[0, 1, 2]],
    "colours": np.ones((2, 3, 3), np.float32),
    "camera": CAMERA,
  }
  with pytest.raises(errors.InputError) as caught:
    render.render_mesh(**{**arguments, **change})
  assert message in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
  "draw", (render.render_depth_map, render.warp_by_depth)
)
def test_maps_of_another_size_are_refused(draw):
  depth, colour, pose = _batch(POSES[:1])
  trace = lambda d, c, camera: jax.eval_shape(
    lambda d, c: draw(d, c, pose, camera), d, c
  )
  with pytest.raises(errors.InputError, match="depth: expected .N, 9, 9."):
    trace(depth, np.ones((1, 9, 9, 3), np.float32), cameras.Camera(9))
  with pytest.raises(errors.InputError, match="colour: expected .1, 12, 12,"):
    trace(depth, colour[:, :5], CAMERA)


def test_half_precision_is_widened():
  depth, colour, pose = _batch(POSES[:1])
  half = [jnp.asarray(x, jnp.bfloat16) for x in (depth, colour)]
  draw = lambda d, c: render.render_depth_map(d, c, pose, CAMERA)
  out = jax.eval_shape(draw, *half)
  assert [x.dtype.name for x in out] == ["float32"] * 3 + ["int32"]
