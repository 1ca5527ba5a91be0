import numpy as np
import pytest

from facerep_jax import errors, face_codes


def test_lights_are_said_as_they_are_made():
  made = [
    {"ambient": 0.25, "diffuse": 1.0, "right_deg": 0.0, "above_deg": 0.0},
    {"ambient": 0.0, "diffuse": 0.5, "right_deg": 30.0, "above_deg": -45.0},
    {"ambient": 1.0, "diffuse": 0.0, "right_deg": -12.0, "above_deg": 20.0},
  ]
  light = np.stack([face_codes.light_vector(**x) for x in made])
  found = face_codes.light_settings(light)
  assert list(found) == list(made[0])
  for name, values in found.items():
    # Float32 of up to 45 degrees.
    np.testing.assert_allclose(values, [x[name] for x in made], atol=1e-5)


def test_lights_of_another_shape_are_refused():
  with pytest.raises(errors.InputError, match=r"light: expected \[N, 4\]"):
    face_codes.light_settings(np.zeros(4))
