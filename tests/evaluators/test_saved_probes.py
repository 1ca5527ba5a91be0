import numpy as np
import pytest

from facerep_jax import errors
from facerep_jax.evaluators import linear_probe, saved_probes
from facerep_jax.inference import probe_file

RNG = np.random.default_rng(0)
X = RNG.normal(size=(5, 3))


def fitted(columns, seed=0):
  rng = np.random.default_rng(seed)
  return linear_probe.LinearProbe(
    mean=rng.normal(size=3),
    scale=rng.uniform(1, 2, 3),
    weights=rng.normal(size=(3, columns)),
    offset=rng.normal(size=columns),
    strength=0.1,
  )


def saved(*keys, classes=("sad", "happy")):
  return {
    saved_probes.key(*key): (fitted(2, i), list(classes))
    for i, key in enumerate(keys)
  }


def test_what_is_saved_is_loaded(tmp_path):
  made = {
    saved_probes.key("a set", "pose", "run: embedding"): fitted(3),
    saved_probes.key("a set", "expression", "HOG"): fitted(2, 1),
  }
  names = dict(zip(made, [[], ["sad", "happy"]]))
  saved_probes.save(tmp_path / "x.npz", made, names)
  read = saved_probes.load(tmp_path / "x.npz")
  assert list(read) == list(made)
  for key, (found, classes) in read.items():
    assert classes == names[key]
    np.testing.assert_array_equal(found.outputs(X), made[key].outputs(X))


def test_probes_of_numbers_are_picked_as_they_are():
  read = saved(("a", "pose", "x"), ("a", "pose", "y"), ("b", "landmarks", "x"))
  found = saved_probes.pick(read, "pose", [])
  assert list(found) == ["x", "y"]
  assert found["y"] is read[saved_probes.key("a", "pose", "y")][0]


def test_classes_are_put_in_the_order_of_the_data():
  read = saved(("a", "expression", "x"))
  found = saved_probes.pick(read, "expression", ["happy", "bored", "sad"])["x"]
  before = read[saved_probes.key("a", "expression", "x")][0].outputs(X)
  after = found.outputs(X)
  np.testing.assert_allclose(after[:, [2, 0]], before)
  assert (after[:, 1] == -np.inf).all()  # Never predicted.


def test_what_cannot_be_picked_is_refused():
  with pytest.raises(errors.InputError, match="for pose, found none"):
    saved_probes.pick(saved(("a", "expression", "x")), "pose", [])
  two = saved(("a", "pose", "x"), ("b", "pose", "x"))
  with pytest.raises(errors.InputError, match="found a, b"):
    saved_probes.pick(two, "pose", [])
  with pytest.raises(errors.InputError, match="know sad, happy, but"):
    saved_probes.pick(saved(("a", "expression", "x")), "expression", ["angry"])


def test_other_files_are_refused(tmp_path):
  with pytest.raises(errors.InputError, match="no such file"):
    saved_probes.load(tmp_path / "none.npz")
  (tmp_path / "text.npz").write_text("text")
  with pytest.raises(errors.InputError, match="not a file of linear probes"):
    saved_probes.load(tmp_path / "text.npz")
  for name, meta in [("yaw", {"classes": {}}), ("a / b / c", {}), ("x", [])]:
    probe_file.save(tmp_path / "foreign.npz", {name: fitted(2)}, meta)
    with pytest.raises(errors.InputError, match="foreign.npz: .*evaluate"):
      saved_probes.load(tmp_path / "foreign.npz")
