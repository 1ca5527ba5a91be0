import pickle
import tracemalloc

import jax
import numpy as np
import pytest

from facerep_jax import errors
from facerep_jax.convert import torch_file
from tests import fuzz, torch_files

GRID = np.arange(24, dtype="<f4").reshape(4, 6)
TREE = {
  "netD": {"a": GRID, "b": GRID[0].astype(np.float16), "step": np.int64(3)},
  "empty": np.zeros((0, 3), np.float32),
  "optimizerD": {
    "state": {0: {"step": 7, "exp_avg": GRID.astype(np.float64)}},
    "param_groups": [{"lr": 1e-4, "params": [0, 1]}],
  },
  "epoch": 30,
}
TREE["netD"]["step"] = np.array(3)


def _read(path, data):
  path.write_bytes(data)
  return torch_file.read(path)


def test_reads_dicts_of_tensors_and_optimisers(tmp_path):
  got = torch_file.read(torch_files.write_legacy(tmp_path / "w.pth", TREE))
  jax.tree.map(np.testing.assert_array_equal, got, TREE)
  assert got["netD"]["b"].dtype == np.float16
  got["netD"]["a"][0, 0] = 5  # An array of its own.
  zipped = torch_file.read(torch_files.write_zip(tmp_path / "w.pt", TREE))
  jax.tree.map(np.testing.assert_array_equal, zipped, TREE)


def test_reads_shared_storages_views_and_the_first_rebuild(tmp_path):
  old = torch_files.Global("torch._utils", "_rebuild_tensor")
  view = torch_files.tensor((2,), (1,), 1, pid_end=(("1", 6, 3),))
  content = {
    "whole": torch_files.tensor((4, 6), (6, 1)),
    "transposed": torch_files.tensor((6, 4), (1, 6), pid_end=(None,)),
    "view": view,
    "old": torch_files.Call(old, *view.args[:4]),
  }
  data = torch_files.legacy_bytes(content, {"0": GRID})
  got = _read(tmp_path / "w.pth", data)
  np.testing.assert_array_equal(got["whole"], GRID)
  np.testing.assert_array_equal(got["transposed"], GRID.T)
  for name in ("view", "old"):
    np.testing.assert_array_equal(got[name], [7, 8])


@pytest.mark.parametrize("part", [("1", 6, 24), ("1", -1, 3), ("1", 6)])
def test_refuses_views_beyond_their_storage(tmp_path, part):
  content = {"a": torch_files.tensor((2,), (1,), pid_end=(part,))}
  with pytest.raises(errors.InputError, match="broken"):
    _read(tmp_path / "w.pth", torch_files.legacy_bytes(content, {"0": GRID}))


def test_what_stands_beside_the_weights_is_dropped(tmp_path):
  for name in (("unsup3d.meters", "MetricsTrace"), ("argparse", "Namespace")):
    trace = torch_files.Object(
      torch_files.Global(*name), {"data": {"train": [{"loss": 0.5}]}}
    )
    content = {"a": torch_files.tensor((24,), (1,)), "trace": trace}
    data = torch_files.legacy_bytes(content, {"0": GRID})
    got = _read(tmp_path / "w.pth", data)
    np.testing.assert_array_equal(got["a"], GRID.ravel())
    assert not hasattr(got["trace"], "data")


@pytest.mark.parametrize("state", [{"a": 1}, (None, {"__new__": 1})])
def test_what_is_dropped_cannot_be_changed(tmp_path, state):
  name = b"\x80\x02cunsup3d.meters\nMetricsTrace\n"
  bad = name + pickle.dumps(state, 2)[2:-1] + pickle.BUILD + pickle.STOP
  good = torch_files.dumps({})
  data = torch_files.legacy_bytes({}, {})
  with pytest.raises(errors.InputError, match="TypeError"):
    _read(tmp_path / "w.pth", data.replace(good, bad, 1))


@pytest.mark.parametrize(
  ("module", "name"),
  [("os", "system"), ("builtins", "eval"), ("torch.nn", "Linear")],
)
@pytest.mark.parametrize("place", ["content", "keys"])
def test_code_is_refused_and_not_run(tmp_path, module, name, place):
  mark = tmp_path / "mark"
  call = torch_files.Call(torch_files.Global(module, name), f"touch {mark}")
  data = torch_files.legacy_bytes({"a": call}, {})
  if place == "keys":
    data = torch_files.legacy_bytes({}, {})
    data = data.removesuffix(torch_files.dumps([])) + torch_files.dumps(call)
  with pytest.raises(errors.InputError, match=f"{module}.{name}.*not run"):
    _read(tmp_path / "w.pth", data)
  assert not mark.exists()


def test_other_versions_and_machines_are_refused(tmp_path):
  path = tmp_path / "w.pth"
  with pytest.raises(errors.InputError, match="low byte first"):
    _read(path, torch_files.legacy_bytes({}, {}, is_little=False))
  with pytest.raises(errors.InputError, match="unknown version 7"):
    _read(path, torch_files.legacy_bytes({}, {}, version=7))
  with pytest.raises(errors.InputError, match="expected a dict of weights"):
    _read(path, torch_files.legacy_bytes([1], {}))


def test_every_cut_is_refused(tmp_path):
  path = torch_files.write_legacy(tmp_path / "w.pth", TREE)
  data = path.read_bytes()
  for stop in (*range(17, 200, 7), len(data) - 100, len(data) - 1):
    with pytest.raises(errors.InputError, match="broken|another kind"):
      _read(path, data[:stop])


@pytest.mark.parametrize(
  "count", [40, pytest.param(2000, marks=pytest.mark.slow)]
)
@pytest.mark.parametrize("write", ["write_legacy", "write_zip"])
def test_mutated_files_are_read_or_refused_in_a_line(tmp_path, write, count):
  path = getattr(torch_files, write)(tmp_path / "w.pth", TREE)
  data, refused = path.read_bytes(), 0
  for seed in range(count):
    with fuzz.limit():
      try:
        assert isinstance(_read(path, fuzz.mutate(data, seed)), dict)
      except errors.InputError as error:
        assert fuzz.one_line(error), seed
        refused += 1
  assert refused > count // 4


def test_lengths_that_differ_are_refused(tmp_path):
  content = {"a": torch_files.tensor((6,), (1,), num=6)}
  data = torch_files.legacy_bytes(content, {"0": GRID})
  with pytest.raises(errors.InputError, match="has another length"):
    _read(tmp_path / "w.pth", data)
  data = torch_files.legacy_bytes(content, {"1": GRID})
  with pytest.raises(errors.InputError, match="is of no tensor"):
    _read(tmp_path / "w.pth", data)


def test_no_room_beyond_the_size_of_the_file(tmp_path):
  content = {"a": torch_files.tensor((2**40,), (1,), num=2**40)}
  data = torch_files.legacy_bytes(content, {"0": GRID})
  many = {
    f"{i}": torch_files.tensor((4096,), (1,), num=4096) for i in range(2000)
  }
  repeated = torch_files.legacy_bytes(many, {"0": np.zeros(4096, np.float32)})
  for bad in (data, repeated):
    tracemalloc.start()
    with pytest.raises(errors.InputError, match="broken"):
      _read(tmp_path / "w.pth", bad)
    assert tracemalloc.get_traced_memory()[1] < 2**23
    tracemalloc.stop()
