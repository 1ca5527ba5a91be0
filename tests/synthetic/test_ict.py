"""ICT-FaceKit's heads; needs the data beside the project."""

import dataclasses
import pathlib

import numpy as np
import pytest

from facerep_jax import errors
from facerep_jax.data import build, cache, extract, sources
from facerep_jax.synthetic import (
  actions,
  chart,
  generator,
  head,
  ict,
  ict_read,
  landmarks,
)
from facerep_jax.tracks import schema

_ROOT = pathlib.Path(__file__).parents[2].parent
DATA = _ROOT / "shared" / "data" / "ict_facekit" / "ict_facekit.npz"
needs_data = pytest.mark.skipif(
  not DATA.exists(), reason=f"needs ICT-FaceKit's data in {DATA}"
)


@pytest.fixture(scope="module")
def model():
  return ict.model(str(DATA))


@pytest.fixture(scope="module")
def data():
  return ict_read.read(str(DATA))


def _marks(model, skin):
  edges = actions.lid_edges(np.zeros((2, 20)))
  return landmarks.locate(model.chart, skin, edges)


@needs_data
def test_landmarks_are_ict_s_landmark_vertices(model, data):
  vertices = (data.neutral[list(ict._LANDMARKS)] - ict._ORIGIN) * ict._AXES
  apart = np.linalg.norm(_marks(model, model.template) - vertices, axis=1)
  # The grid cuts corners between its vertices, which are 3 mm apart, where the
  # skin bends most: in the corners of the inner lips and on the lids' rims.
  assert apart.max() < 0.02 and np.median(apart) < 0.004


@needs_data
def test_landmarks_follow_ict_s_identities(model, data):
  shape = np.random.default_rng(0).standard_normal(len(data.identity))
  moved = np.einsum("k,kvc->vc", shape, data.identity)
  vertices = data.neutral + moved
  want = (vertices[list(ict._LANDMARKS)] - ict._ORIGIN) * ict._AXES
  got = _marks(model, head.neutral(model, shape))
  apart = np.linalg.norm(got - want, axis=1)
  assert apart.max() < 0.025 and np.median(apart) < 0.005


@needs_data
def test_interface_is_the_built_in_one(model):
  base = head.built_in()
  assert model.chart is base.chart
  assert model.template.shape == base.template.shape
  assert model.shape_basis.shape == (100, *base.template.shape)
  assert model.action_basis.shape == base.action_basis.shape
  for basis in (model.shape_basis, model.action_basis):
    assert basis.dtype == np.float32 and np.isfinite(basis).all()
  assert (np.abs(model.action_basis).max(axis=(1, 2)) > 0.005).all()
  trunk = base.t > 1.75
  np.testing.assert_array_equal(model.template[trunk], base.template[trunk])
  rows = model.template.reshape(*model.chart.shape, 3)
  # Closed at the back, to the last bits of sin(pi).
  np.testing.assert_allclose(rows[:, 0], rows[:, -1], atol=1e-12)
  # As symmetric as ICT's mesh is, through a spline and a z-buffer.
  np.testing.assert_allclose(rows[:, ::-1] * [-1, 1, 1], rows, atol=0.02)


@needs_data
@pytest.mark.parametrize(
  ("number", "points", "axis", "sign"),
  [
    (1, [21, 22], 1, -1),  # Inner brows up.
    (2, [18, 25], 1, -1),  # Outer brows up.
    (4, [20, 23], 1, 1),  # Brows down.
    (10, [50, 52], 1, -1),  # Upper lip up.
    (12, [48, 54], 1, -1),  # Corners up.
    (15, [48, 54], 1, 1),  # Corners down.
    (16, [56, 57, 58], 1, 1),  # Lower lip down.
    (17, [57], 1, -1),  # The chin pushes the lower lip up.
    (20, [54], 0, 1),  # Corners out.
    (18, [54], 0, -1),  # Corners in.
    (25, [65, 66, 67], 1, 1),  # Lips part.
    (26, [6, 7, 8, 9, 10], 1, 1),  # Jaw down.
  ],
)
def test_action_unit_moves_what_it_names(model, number, points, axis, sign):
  on = np.zeros((1, 20))
  on[0, actions.INDEX[number]] = 1.0
  moved = head.animate(model, model.template, on, on)[0]
  move = _marks(model, moved) - _marks(model, model.template)
  assert (sign * move[points, axis] > 0.01).all()  # A millimetre at least.


@needs_data
def test_jaw_opens_the_mouth_and_leaves_the_upper_lip(model):
  on = np.zeros((1, 20))
  on[0, actions.INDEX[26]] = 1.0
  moved = head.animate(model, model.template, on, on)[0]
  move = _marks(model, moved) - _marks(model, model.template)
  assert move[66, 1] - move[62, 1] > 0.12
  np.testing.assert_allclose(move[33], 0, atol=0.01)  # Base of the nose.
  # The rows of the grid on either side of the lips' line part as ICT's lips.
  near = np.flatnonzero(
    np.abs(model.chart.t - chart.MOUTH_T) < 1.1 * chart.SLIT
  )
  down = (moved - model.template)[:, 1].reshape(model.chart.shape)[near]
  upper, lower = down[:, np.abs(model.chart.s) < 0.2]
  assert (upper < 0.4 * lower).all() and lower.min() > 0.1


@needs_data
def test_track_has_the_same_labels_and_its_own_bytes():
  settings = generator.Settings(
    num_people=4, num_frames=3, size_px=48, heads=str(DATA)
  )
  track = generator.make_track(settings, 1, 0)
  again = generator.make_track(settings, 1, 0)
  assert schema.serialize(track) == schema.serialize(again)
  assert track.person == "ict00001"
  others = {"detected", "box_px", "frontal", "focal_px", "time_s"}
  assert set(track.labels) == set(schema.LABELS) - others
  plain = dataclasses.replace(settings, heads="")
  assert generator.make_track(plain, 1, 0).frames != track.frames
  points = np.concatenate(
    [
      generator.draw_track(settings, person, 1).labels["landmarks_px"]
      for person in range(4)
    ]
  )
  assert points.min() > 0.05 * 48 and points.max() < 0.95 * 48


@needs_data
def test_source_and_cache_take_the_path(tmp_path, monkeypatch):
  monkeypatch.setenv("FACEREP_CACHE", str(tmp_path))
  monkeypatch.setattr(cache.os, "cpu_count", lambda: 1)
  tiny = {
    "seed": 0,
    "num_people": 3,
    "tracks_per_person": 1,
    "num_frames": 2,
    "size_px": 16,
  }
  folder = cache.synthetic(**tiny, heads=str(DATA))
  [unit] = sources.collect([sources.Source(f"synthetic:ict={DATA}")], 3, 1)
  manifest = build.build(
    [unit],
    str(tmp_path / "other"),
    extract.Settings(size_px=16, num_people=3, num_frames=2),
    build.Plan(),
  )
  with open(f"{folder}/manifest.json") as file:
    assert manifest["fingerprint"] in file.read()


def test_missing_expression_is_named(monkeypatch):
  zero = np.zeros((ict.NUM_VERTICES, 3), np.float32)
  shapes = {
    name + side: zero
    for unit in ict.UNITS.values()
    for name in unit
    for side in ("_L", "_R")
  }
  del shapes["browDown_R"]
  data = ict_read.Data(zero, zero[None], shapes, np.zeros((0, 3), int))
  with pytest.raises(errors.InputError, match="lacks the expression browDown"):
    ict._unit("heads.npz", data, 4)


def test_every_action_unit_has_its_shapes():
  assert list(ict.UNITS) == list(actions.UNITS)


def test_a_row_of_which_one_vertex_is_seen_is_filled_by_the_next():
  """Rounding decides whether the crown's pole is seen."""
  rng = np.random.default_rng(0)
  field, weights = rng.normal(size=(4, 5, 3)), np.ones((4, 5, 3))
  weights[0] = 0
  want = ict._fill(field, weights.reshape(-1, 3))
  np.testing.assert_allclose(want[0], np.tile(want[1].mean(axis=0), (5, 1)))
  weights[0, 2] = 1
  np.testing.assert_array_equal(ict._fill(field, weights.reshape(-1, 3)), want)
