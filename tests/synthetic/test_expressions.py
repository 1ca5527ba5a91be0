"""What expressions do to the landmarks, on each kind of head."""

import numpy as np
import pytest

from facerep_jax.synthetic import actions, head, ict, landmarks
from tests.synthetic import test_ict

RIGHT, LEFT, DOWN, UP = (0, -1), (0, 1), (1, 1), (1, -1)  # Axis, sign.


@pytest.fixture(
  params=["built-in", pytest.param("ict", marks=test_ict.needs_data)],
  scope="module",
)
def model(request):
  if request.param == "ict":
    return ict.model(str(test_ict.DATA))
  return head.built_in()


def _marks(model, left, right):
  skin = head.animate(model, model.template, left[None], right[None])[0]
  edges = actions.lid_edges(np.stack([right, left]))
  return landmarks.locate(model.chart, skin, edges)


def _moves(model, recipe, is_of_one_side=False):
  units = np.zeros(20)
  for number, value in recipe.items():
    units[actions.INDEX[number]] = value
  rest = np.zeros(20)
  right = rest if is_of_one_side else units
  return _marks(model, units, right) - _marks(model, rest, rest)


@pytest.mark.parametrize(
  ("name", "points", "direction"),
  [
    ("happiness", [48, 54], UP),
    ("happiness", [48], RIGHT),
    ("happiness", [54], LEFT),
    ("sadness", [21, 22], UP),
    ("sadness", [48, 54], DOWN),
    ("surprise", [18, 19, 20, 21, 22, 23, 24, 25], UP),
    ("surprise", [8, 57, 66], DOWN),
    ("surprise", [37, 38, 43, 44], UP),
    ("fear", [21, 22], UP),
    ("fear", [48], RIGHT),
    ("fear", [54], LEFT),
    ("fear", [37, 38, 43, 44], UP),
    ("disgust", [50, 51, 52], UP),
    ("disgust", [20, 21, 22, 23], DOWN),
    ("anger", [20, 21, 22, 23], DOWN),
    ("anger", [40, 41, 46, 47], UP),
  ],
)
def test_expression_moves_the_face_as_it_is_named(
  model, name, points, direction
):
  axis, sign = direction
  moves = _moves(model, actions.EXPRESSIONS[name])
  assert (sign * moves[points, axis] > 0.005).all()  # Half a millimetre.


def test_expressions_tell_apart_and_neutral_is_at_rest(model):
  moves = {
    name: _moves(model, recipe, name == "contempt").ravel()
    for name, recipe in actions.EXPRESSIONS.items()
  }
  assert not moves.pop("neutral").any()
  names = list(moves)
  for i, first in enumerate(names):
    # At full strength some landmark moves by 3 mm.
    assert np.abs(moves[first]).max() > 0.03, first
    for second in names[:i]:
      a, b = moves[first], moves[second]
      alike = a @ b / np.sqrt((a @ a) * (b @ b))
      assert alike < 0.93, (first, second)


def test_blink_closes_and_wide_eyes_open(model):
  def gaps(recipe):
    units = np.zeros(20)
    for number, value in recipe.items():
      units[actions.INDEX[number]] = value
    marks = _marks(model, units, units)
    upper, lower = marks[[37, 38, 43, 44], 1], marks[[41, 40, 47, 46], 1]
    return lower - upper

  rest = gaps({})
  assert (rest > 0.05).all()  # Five millimetres.
  assert (gaps({45: 1.0}) < 0.3 * rest).all()
  assert (gaps({5: 1.0}) > 1.1 * rest).all()


def test_one_half_moves_alone(model):
  left = np.zeros(20)
  left[actions.INDEX[12]] = 1.0
  rest = np.zeros(20)
  moves = np.linalg.norm(
    _marks(model, left, rest) - _marks(model, rest, rest), axis=1
  )
  assert moves[54] > 0.05 and moves[48] < 0.005
