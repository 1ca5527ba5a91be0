import math

import numpy as np
import pytest

from facerep_jax import errors
from facerep_jax.faces import editing


def make(count=2, seed=0):
  rng = np.random.default_rng(seed)
  names = [*editing.NAMES, *(f"neutral_{x}" for x in editing.NAMES)]
  codes = {x: rng.uniform(0, 1, (count, 5)).astype(np.float32) for x in names}
  return codes | {
    "view": rng.uniform(-1, 1, (count, 6)).astype(np.float32),
    "light": rng.uniform(-1, 1, (count, 4)).astype(np.float32),
  }


def test_light_points_away_from_where_it_stands():
  np.testing.assert_allclose(
    editing.light_vector(ambient=0.25, diffuse=1.0), [-0.5, 1, 0, 0]
  )
  # From the right light travels left, against x; from above down, along y.
  found = editing.light_vector(right_deg=30, above_deg=20)
  np.testing.assert_allclose(
    found[2:],
    [-math.tan(math.radians(30)), math.tan(math.radians(20))],
    rtol=1e-6,
  )


@pytest.mark.parametrize(
  "bad",
  [{"ambient": -0.1}, {"diffuse": 1.1}, {"right_deg": 46}, {"above_deg": -50}],
)
def test_light_is_in_its_range(bad):
  with pytest.raises(errors.InputError, match=f"{next(iter(bad))}: expected"):
    editing.light_vector(**bad)


def test_neutral_takes_the_place_of_codes_and_nothing_else():
  codes = make()
  codes["neutral_depth_code"][0, 0] = -0.25
  changed = editing.neutral(codes)
  for name in editing.NAMES:
    want = np.maximum(codes[f"neutral_{name}"], 0)
    np.testing.assert_array_equal(changed[name], want)
  assert changed["depth_code"][0, 0] == 0
  for name in ("view", "light", "neutral_depth_code"):
    np.testing.assert_array_equal(changed[name], codes[name])


def test_transfer_adds_the_difference_and_stops_at_zero():
  one, other = make(seed=1), make(seed=2)
  found = editing.transferred(one, other)
  signs = set()
  for name in editing.NAMES:
    for row in range(2):
      for i in range(5):
        want = float(one[f"neutral_{name}"][row, i])
        want += float(other[name][row, i])
        want -= float(other[f"neutral_{name}"][row, i])
        signs.add(want > 0)
        # Two sums of numbers below 1, in float32.
        assert abs(found[name][row, i] - max(want, 0)) < 3e-7
  assert signs == {True, False}
  for name in ("view", "light"):
    np.testing.assert_array_equal(found[name], one[name])


def test_a_face_with_its_own_expression_stays():
  codes = make()
  found = editing.transferred(codes, codes)
  for name in editing.NAMES:
    np.testing.assert_allclose(found[name], codes[name], atol=3e-7)


def test_refuses_what_does_not_fit():
  codes = make()
  first = {name: x for name, x in codes.items() if "neutral" not in name}
  for call in (
    lambda: editing.neutral(first),
    lambda: editing.transferred(codes, first),
    lambda: editing.transferred(first, codes),
  ):
    with pytest.raises(errors.InputError, match="config.stage=diffusion"):
      call()
  with pytest.raises(errors.InputError, match="2 identities and 3 expressions"):
    editing.transferred(codes, make(3))
  assert editing.check(codes) == 2
  del first["light"]
  with pytest.raises(errors.InputError, match="light missing, got"):
    editing.check(first)
  with pytest.raises(errors.InputError, match="depth_code.*expected .2, D."):
    editing.check(codes | {"depth_code": codes["depth_code"][:1]})


def test_spreads_numbers_over_rows():
  rows = editing.spread("view", np.arange(6), 3, 6, 5.0)
  np.testing.assert_array_equal(rows, [np.arange(6)] * 3)
  assert rows.dtype == np.float32
  np.testing.assert_array_equal(editing.spread("view", rows, 3, 6, 5), rows)


def test_lights_are_said_as_they_are_made():
  made = [
    {"ambient": 0.25, "diffuse": 1.0, "right_deg": 0.0, "above_deg": 0.0},
    {"ambient": 0.0, "diffuse": 0.5, "right_deg": 30.0, "above_deg": -45.0},
    {"ambient": 1.0, "diffuse": 0.0, "right_deg": -12.0, "above_deg": 20.0},
  ]
  light = np.stack([editing.light_vector(**x) for x in made])
  found = editing.light_settings(light)
  assert list(found) == list(made[0])
  for name, values in found.items():
    # Float32 of up to 45 degrees.
    np.testing.assert_allclose(values, [x[name] for x in made], atol=1e-5)


def test_lights_of_another_shape_are_refused():
  with pytest.raises(errors.InputError, match=r"light: expected \[N, 4\]"):
    editing.light_settings(np.zeros(4))
