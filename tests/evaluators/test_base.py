import importlib

import numpy as np
import pytest

from facerep_jax import errors
from facerep_jax.evaluators import base

LABELS = {"yaw_rad": np.zeros(4), "expression": np.array([0, 2, 1, 1], np.int8)}


def test_labels_are_found_and_checked():
  rows = np.zeros((4, 7))
  assert base.label(LABELS, "yaw_rad", "N", rows) is LABELS["yaw_rad"]
  found = base.classes(LABELS, "expression", rows)
  assert found.dtype == np.int64 and found.tolist() == [0, 2, 1, 1]
  with pytest.raises(errors.InputError, match="'light' is missing, found yaw"):
    base.label(LABELS, "light", "N 4", rows)
  with pytest.raises(errors.InputError, match=r"yaw_rad: expected \[N, 2\]"):
    base.label(LABELS, "yaw_rad", "N 2", rows)
  with pytest.raises(errors.InputError, match="4 labels for 3 images"):
    base.label(LABELS, "yaw_rad", "N", rows[1:])
  with pytest.raises(errors.InputError, match="class numbers from 0"):
    base.classes(LABELS, "yaw_rad", rows)


def test_says_what_to_install(monkeypatch):
  def import_module(name):
    raise ModuleNotFoundError(name=name.split(".")[0])

  monkeypatch.setattr(importlib, "import_module", import_module)
  with pytest.raises(errors.InputError, match=r"facerep_jax\[evaluation\]"):
    base.sklearn("linear_model")
