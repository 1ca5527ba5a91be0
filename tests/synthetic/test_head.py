import numpy as np
import pytest

from facerep_jax.synthetic import actions, chart, head, landmarks, shape_modes

RIGHT_CORNER, LEFT_CORNER, CHIN = 48, 54, 8


def _move(**units):
  """Landmarks [68, 3] with these units on, minus the resting ones."""
  model = head.built_in()
  still = head.neutral(model, np.zeros(len(shape_modes.NAMES)))
  on = np.zeros((1, 20))
  for name, value in units.items():
    on[0, actions.INDEX[int(name[2:])]] = value
  lids = actions.lid_edges(np.repeat(on, 2, axis=0))
  rest = actions.lid_edges(np.zeros((2, 20)))
  moved = head.animate(model, still, on, on)[0]
  return landmarks.locate(model.chart, moved, lids) - landmarks.locate(
    model.chart, still, rest
  )


def test_interface_sizes():
  model = head.built_in()
  assert len(shape_modes.NAMES) >= 40 and len(actions.UNITS) == 20
  assert model.shape_basis.shape == (
    len(shape_modes.NAMES),
    *model.template.shape,
  )
  # Every identity number and every action unit moves something.
  for basis in (model.shape_basis, model.action_basis):
    assert (np.abs(basis).max(axis=(1, 2)) > 0.005).all()


def test_template_is_symmetric_and_front_faces_look_at_the_camera():
  model = head.built_in()
  rows, columns = model.chart.shape
  points = model.template.reshape(rows, columns, 3)
  np.testing.assert_allclose(points[:, ::-1] * [-1, 1, 1], points, atol=1e-9)
  corners = model.template[model.chart.faces]
  normal = np.cross(
    corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
  )
  at_cheek = (np.abs(model.s[model.chart.faces[:, 0]]) < 0.5) & (
    np.abs(model.t[model.chart.faces[:, 0]] - 0.3) < 0.05
  )
  # Clockwise with y down: the right-handed normal points away, along +z.
  assert (normal[at_cheek, 2] > 0).all()


def test_average_face_has_a_human_s_proportions():
  model = head.built_in()
  marks = landmarks.locate(
    model.chart, model.template, actions.lid_edges(np.zeros((2, 20)))
  )
  eyes = marks[[36, 39, 42, 45], 0]
  assert (np.diff(eyes) > 0).all()  # From the image's left to its right.
  order = [marks[i, 1] for i in (19, 37, 30, 51, 57, 8)]
  assert (np.diff(order) > 0).all()  # Brow, eye, nose, lips, chin.
  assert marks[30, 2] == marks[:, 2].min()  # The tip of the nose is in front.


@pytest.mark.parametrize(
  ("unit", "points", "axis", "sign"),
  [
    ("au1", [21, 22], 1, -1),  # Inner brows up.
    ("au2", [18, 25], 1, -1),  # Outer brows up.
    ("au4", [20, 23], 1, 1),  # Brows down.
    ("au5", [37, 38, 43, 44], 1, -1),  # Upper lids up.
    ("au7", [40, 41, 46, 47], 1, -1),  # Lower lids up.
    ("au10", [50, 52], 1, -1),  # Upper lip up.
    ("au12", [48, 54], 1, -1),  # Corners up.
    ("au15", [48, 54], 1, 1),  # Corners down.
    ("au16", [56, 57, 58], 1, 1),  # Lower lip down.
    ("au17", [8], 1, -1),  # Chin up.
    ("au25", [65, 66, 67], 1, 1),  # Lips part.
    ("au26", [6, 7, 8, 9, 10], 1, 1),  # Jaw down.
    ("au45", [37, 38, 43, 44], 1, 1),  # Upper lids down.
  ],
)
def test_action_unit_moves_what_it_names(unit, points, axis, sign):
  move = _move(**{unit: 1.0})
  assert (sign * move[points, axis] > 0.01).all()  # A millimetre at least.


def test_corners_are_pulled_out_and_pucker_draws_them_in():
  for unit in ("au12", "au20"):
    move = _move(**{unit: 1.0})
    assert move[LEFT_CORNER, 0] > 0.03 and move[RIGHT_CORNER, 0] < -0.03
  move = _move(au18=1.0)
  assert move[LEFT_CORNER, 0] < -0.03 and move[RIGHT_CORNER, 0] > 0.03


def test_jaw_opens_the_mouth_but_leaves_upper_lip_and_corners_together():
  move = _move(au26=1.0)
  assert move[66, 1] - move[62, 1] > 0.15  # Inner lips part by 15 mm.
  np.testing.assert_allclose(move[33], 0, atol=0.01)  # Base of the nose.
  assert 0 < move[LEFT_CORNER, 1] < move[CHIN, 1]


def test_blink_closes_the_lids():
  units = np.zeros((2, 20))
  units[:, actions.INDEX[45]] = 1.0
  upper, lower = actions.lid_edges(units)
  assert (upper <= lower).all()
  np.testing.assert_allclose(upper, lower, atol=0.02)  # Two millimetres.
  upper, lower = actions.lid_edges(np.zeros((2, 20)))
  np.testing.assert_allclose([upper[0], lower[0]], [-0.080, 0.048])


def test_halves_of_the_face_move_on_their_own():
  model = head.built_in()
  left, right = np.zeros((1, 20)), np.zeros((1, 20))
  left[0, actions.INDEX[12]] = 1.0
  moved = head.animate(model, model.template, left, right)[0] - model.template
  size = np.abs(moved).max(axis=1)
  assert size[model.s > 0.2].max() > 0.1
  assert size[model.s < -0.2].max() < 1e-3  # tanh has all but saturated.


def test_lips_never_cross_while_pressed():
  model = head.built_in()
  on = np.zeros((1, 20))
  on[0, [actions.INDEX[23], actions.INDEX[24]]] = 1.0
  y = head.animate(model, model.template, on, on)[0][:, 1]
  rows = y.reshape(model.chart.shape)[:, model.chart.shape[1] // 2]
  assert (np.diff(rows) > -1e-6).all()


def test_chart_weights_find_a_vertex_and_a_middle():
  grid = chart.grid()
  vertices, weights = grid.weights(grid.s[[10]], grid.t[[20]])
  assert weights.sum() == pytest.approx(1)
  at = vertices[0, np.argmax(weights)]
  assert at == 20 * grid.s.size + 10
  s = (grid.s[10] + grid.s[11]) / 2
  vertices, weights = grid.weights(np.array([s]), grid.t[[20]])
  np.testing.assert_allclose(
    (weights * grid.mesh()[0][vertices]).sum(), s, atol=1e-12
  )
