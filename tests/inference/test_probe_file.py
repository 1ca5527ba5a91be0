import zipfile

import numpy as np
import pytest

from facerep_jax import errors
from facerep_jax.evaluators import linear_probe
from facerep_jax.inference import probe_file

RNG = np.random.default_rng(0)


def test_read_outs_come_back_from_a_file(tmp_path):
  x = RNG.normal(size=(50, 4))
  some = {
    "pose/é": linear_probe.ridge(x, x[:, :2], np.arange(50)),
    "expression": linear_probe.logistic(x, (x[:, 0] > 0) * 2, np.arange(50), 3),
  }
  path = tmp_path / "probes.npz"
  probe_file.save(path, some, {"data": "toy", "step": 3})
  assert [p.name for p in tmp_path.iterdir()] == ["probes.npz"]
  found, meta = probe_file.load(path)
  assert meta == {"data": "toy", "step": 3} and list(found) == list(some)
  for name, one in some.items():
    assert found[name].strength == one.strength
    np.testing.assert_array_equal(found[name].outputs(x), one.outputs(x))


def test_refuses_files_of_another_kind(tmp_path):
  path = tmp_path / "other.npz"
  with pytest.raises(errors.InputError, match="no such file"):
    probe_file.load(path)
  path.write_bytes(b"not an archive")
  with pytest.raises(errors.InputError, match="not a file of linear probes"):
    probe_file.load(path)
  np.savez(path, features=np.zeros(3))
  with pytest.raises(errors.InputError, match="not a file of linear probes"):
    probe_file.load(path)
  one = linear_probe.LinearProbe(
    np.zeros(3), np.ones(3), np.zeros((3, 2)), np.zeros(2), 1
  )
  probe_file.save(path, {"a": one}, {})
  whole = path.read_bytes()
  path.write_bytes(whole[: len(whole) // 2])
  with pytest.raises(errors.InputError, match="not a file of linear probes"):
    probe_file.load(path)
  bad = linear_probe.LinearProbe(
    np.zeros(3), np.ones(3), np.zeros((2, 2)), np.zeros(2), 1
  )
  probe_file.save(path, {"a": bad}, {})
  with pytest.raises(errors.InputError, match=r"a: weights: expected \[3, 2\]"):
    probe_file.load(path)


@pytest.mark.parametrize("change", ["empty", "half", "flipped", "inflates"])
def test_damaged_files_are_one_line(tmp_path, change):
  path = tmp_path / "probes.npz"
  one = linear_probe.LinearProbe(
    np.zeros(3), np.ones(3), np.ones((3, 2)), np.zeros(2), 1.0
  )
  probe_file.save(path, {"a": one}, {})
  data = bytearray(path.read_bytes())
  if change == "flipped":
    data[len(data) // 3] ^= 255
  if change == "inflates":
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
      archive.writestr("head.npy", bytes(2**24))
  else:
    cut = {"empty": 0, "half": len(data) // 2}.get(change, len(data))
    path.write_bytes(data[:cut])
  with pytest.raises(errors.InputError) as caught:
    probe_file.load(path)
  assert "\n" not in str(caught.value)
