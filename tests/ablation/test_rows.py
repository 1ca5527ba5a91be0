import types

import numpy as np
import pytest

from facerep_jax.ablation import rows
from facerep_jax.evaluators import features


def test_means_over_tracks():
  values = np.arange(12, dtype=np.float32).reshape(6, 2)
  track = np.array(["b", "a", "b", "a", "a", "c"])
  found = rows._track_mean(values, track)
  np.testing.assert_array_equal(found[0], values[[0, 2]].mean(axis=0))
  np.testing.assert_array_equal(found[0], found[2])
  np.testing.assert_array_equal(found[4], values[[1, 3, 4]].mean(axis=0))
  np.testing.assert_array_equal(found[5], values[5])


@pytest.mark.parametrize("kind", ["embedding", "raw"])
def test_a_single_code_stands_in_every_column(monkeypatch, kind):
  code = np.ones((4, 3), np.float32)
  images = types.SimpleNamespace(
    crops=types.SimpleNamespace(pixels=np.zeros((4, 8, 8, 3), np.uint8))
  )
  monkeypatch.setattr(features, "of_model", lambda *_: {kind: code})
  ((name, row),) = rows.of_run("other", None, images)
  assert name == "other"
  for column in (*rows.COLUMNS["latentface"], *rows.COLUMNS["fabnet"]):
    assert row[column.feature] is code
