import jax
import jax.numpy as jnp
import numpy as np
import pytest

from facerep_jax.ops import fragments
from tests.ops import scenes
from tests.oracles import render as oracle

SIZE = 11
PLENTY = fragments.Capacity(4000, 20000)
KINDS = ("any", "small", "sliver", "level", "huge", "outside")


_compiled = jax.jit(
  fragments.find, static_argnames=("half_px", "size_px", "capacity")
)


def _find(points, half_px, capacity=PLENTY, is_drawn=None):
  if is_drawn is None:
    is_drawn = np.ones(len(points), bool)
  return _compiled(
    scenes.corners(points),
    is_drawn,
    half_px=half_px,
    size_px=SIZE,
    capacity=capacity,
  )


def _pairs(found):
  """Sorted list of (face, row, column)."""
  columns = (found.face, found.y, found.x)
  used = np.asarray(found.is_used)
  return sorted(zip(*(np.asarray(c)[used].tolist() for c in columns)))


def _overlaps(points, half_px, least):
  """Pairs of which triangle and square share more than `least`."""
  return {
    (n, i, j)
    for n, i, j in np.ndindex(len(points), SIZE, SIZE)
    if oracle.clip_to_square(points[n], (j, i), 2 * half_px) > least
  }


@pytest.mark.parametrize("begin", (0, 3, 8))
def test_expand_is_repeat(begin):
  counts = np.array([0, 3, 0, 0, 1, 4, 0, 2, 0], np.int32)
  owner = np.repeat(np.arange(9), counts)
  rank = np.concatenate([np.arange(n) for n in counts])
  for length in (1, 4, 15):
    got = fragments.expand(jnp.asarray(counts), length, begin)
    num = min(length, max(len(owner) - begin, 0))
    np.testing.assert_array_equal(got[0][:num], owner[begin:][:num])
    np.testing.assert_array_equal(got[1][:num], rank[begin:][:num])
    np.testing.assert_array_equal(got[2], np.arange(length) < num)


@pytest.mark.parametrize("kind", KINDS)
def test_lists_all_that_touch_and_nothing_else(kind):
  points = scenes.triangles(KINDS.index(kind), 25, SIZE, kind)
  for half_px in (0.5, 0.2):
    found = _find(points, half_px)
    pairs = _pairs(found)
    assert found.num_dropped == 0
    assert len(set(pairs)) == len(pairs)
    # Float32 corners, of up to 600 px: 3e-5 px, times the length of an edge.
    assert _overlaps(points, half_px, 1e-3) <= set(pairs)
    assert set(pairs) <= _overlaps(points, half_px + 2e-3, 0.0)
    assert bool(pairs) == (kind != "outside")


@pytest.mark.parametrize("kind", KINDS)
def test_lists_all_centres_inside(kind):
  points = scenes.triangles(KINDS.index(kind), 40, SIZE, kind)
  pairs = set(_pairs(_find(points, 1e-4)))
  y, x = np.mgrid[:SIZE, :SIZE]
  for n, (a, b, c) in enumerate(points):
    cross = lambda p, q: (p[0] - x) * (q[1] - y) - (q[0] - x) * (p[1] - y)
    sides = np.stack([cross(a, b), cross(b, c), cross(c, a)])
    inside = (sides > 1e-3).all(0) | (sides < -1e-3).all(0)
    assert {(n, i, j) for i, j in np.argwhere(inside)} <= pairs


def test_counts_what_found_no_room():
  points = scenes.triangles(0, 25, SIZE)
  all_pairs = _pairs(_find(points, 0.5))
  for pixels in (len(all_pairs) - 3, len(all_pairs)):
    found = _find(points, 0.5, fragments.Capacity(4000, pixels))
    assert found.num_dropped == len(all_pairs) - pixels
    assert set(_pairs(found)) <= set(all_pairs)
    assert int(found.is_used.sum()) == pixels
  # Also rows in which the triangle passes the image by.
  touched = fragments.rows(
    scenes.corners(points), jnp.ones(25, bool), half_px=0.5, size_px=SIZE
  )
  rows = int(touched.counts.sum())
  assert rows >= len({pair[:2] for pair in all_pairs})
  assert (
    _find(points, 0.5, fragments.Capacity(rows - 7, 20000)).num_dropped == 7
  )


def test_leaves_out_what_is_not_drawn():
  points = scenes.triangles(0, 25, SIZE)
  is_drawn = np.arange(25) % 3 > 0
  pairs = _pairs(_find(points, 0.5, is_drawn=is_drawn))
  assert {p[0] for p in pairs} <= set(np.flatnonzero(is_drawn))
  assert pairs == [p for p in _pairs(_find(points, 0.5)) if is_drawn[p[0]]]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("lengths", ((1000, 5000), (7, 13)))
def test_fold_goes_through_each_pair_once(kind, lengths):
  points = scenes.triangles(KINDS.index(kind), 25, SIZE, kind)
  want = np.zeros((25, SIZE, SIZE), int)
  for pair in _pairs(_find(points, 0.5)):
    want[pair] += 1

  def paint(state, found):
    one = found.is_used.astype(jnp.int32)
    return state.at[found.face, found.y, found.x].add(one)

  got = jax.jit(
    lambda corners: fragments.fold(
      corners,
      jnp.ones(25, bool),
      paint,
      jnp.zeros((25, SIZE, SIZE), jnp.int32),
      half_px=0.5,
      size_px=SIZE,
      lengths=fragments.Capacity(*lengths),
    )
  )(scenes.corners(points))
  np.testing.assert_array_equal(got, want)


def test_number_of_pairs_follows_the_area():
  """A square of side a, cut in two, takes about a^2 + 3 a pairs, not S^2."""
  for side in (2.0, 4.0, 8.0):
    square = np.array([[0, 0], [side, 0], [side, side], [0, side]]) + 1.3
    points = square[[[0, 1, 2], [0, 2, 3]]]
    num = len(_pairs(_find(points, 0.5)))
    assert side**2 < num < side**2 + 5 * side + 4
