import io
import json
import os
import pickle
import struct
import tracemalloc
import zipfile

import jax
import numpy as np
import pytest

from facerep_jax import errors
from facerep_jax.convert import torch_file
from tests import torch_files

VALUES = np.arange(24, dtype="<f4")


def _write(path, content, byteorder=b"little"):
  with zipfile.ZipFile(path, "w") as archive:
    with archive.open("archive/data.pkl", "w") as file:
      torch_files.Pickler(file, 2).dump(content)
    archive.writestr("archive/data/0", VALUES.tobytes())
    archive.writestr("archive/byteorder", byteorder)
    archive.writestr("archive/version", b"3")
  return path


def test_reads_torch_zip(tmp_path):
  ordered = torch_files.Call(torch_files.Global("collections", "OrderedDict"))
  parameter = torch_files.Global("torch._utils", "_rebuild_parameter")
  content = {
    "netD": {
      "a": torch_files.tensor((4, 6), (6, 1)),
      "transposed": torch_files.tensor((2, 4), (1, 6), offset=1),
      "scalar": torch_files.tensor((), (), offset=7),
      "empty": torch_files.tensor((0, 3), (3, 1)),
      "parameter": torch_files.Call(
        parameter, torch_files.tensor((24,), (1,)), True, ordered
      ),
    },
    "epoch": 30,
    "none": ordered,
  }
  got = torch_file.read(_write(tmp_path / "weights.pth", content))
  grid, net = VALUES.reshape(4, 6), got["netD"]
  np.testing.assert_array_equal(net["a"], grid)
  np.testing.assert_array_equal(net["transposed"], grid.T[1:3])
  assert net["scalar"].shape == () and net["scalar"] == 7
  assert net["empty"].shape == (0, 3)
  np.testing.assert_array_equal(net["parameter"], VALUES)
  assert got["epoch"] == 30 and got["none"] == {}
  net["a"][0, 0] = 5  # An array of its own.
  assert net["parameter"][0] == 0


@pytest.mark.parametrize(
  "size, strides, offset",
  [
    ((25,), (1,), 0),
    ((4,), (8,), 0),
    ((4,), (1,), 21),
    ((4,), (-1,), 8),
    ((4,), (1,), -1),
    ((100,), (0,), 0),
    ((2, 2), (1,), 0),
    ((2.0,), (1,), 0),
  ],
)
def test_refuses_tensors_outside_their_storage(tmp_path, size, strides, offset):
  content = {"a": torch_files.tensor(size, strides, offset)}
  with pytest.raises(errors.InputError, match="broken"):
    torch_file.read(_write(tmp_path / "weights.pth", content))


def test_refuses_a_storage_of_another_size(tmp_path):
  content = {"a": torch_files.tensor((6,), (1,), num=6)}
  with pytest.raises(errors.InputError, match="24 numbers, expected 6"):
    torch_file.read(_write(tmp_path / "weights.pth", content))


@pytest.mark.parametrize(
  "module, name",
  [
    (os.system.__module__, "system"),  # "posix" or "nt".
    ("os", "system"),
    ("builtins", "eval"),
    ("builtins", "getattr"),
    ("torch.storage", "_load_from_bytes"),
    ("collections", "OrderedDict.update"),
  ],
)
def test_malicious_pickle_is_refused_and_not_run(tmp_path, module, name):
  mark = tmp_path / "mark"
  content = {
    "a": torch_files.Call(torch_files.Global(module, name), f"touch {mark}")
  }
  with pytest.raises(errors.InputError, match=f"{module}.{name}.*not run"):
    torch_file.read(_write(tmp_path / "weights.pth", content))
  assert not mark.exists()


@pytest.mark.parametrize("state", [{"a": 1}, (None, {"a": 1})])
def test_pickle_cannot_change_the_reader(tmp_path, state):
  name = b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n"
  content = name + pickle.dumps(state, 2)[2:-1] + pickle.BUILD + pickle.STOP
  with zipfile.ZipFile(tmp_path / "weights.pth", "w") as archive:
    archive.writestr("archive/data.pkl", content)
  with pytest.raises(errors.InputError, match="AttributeError"):
    torch_file.read(tmp_path / "weights.pth")


def test_refuses_other_contents(tmp_path):
  path = tmp_path / "weights.pth"
  with pytest.raises(errors.InputError, match="no such file"):
    torch_file.read(path)
  with pytest.raises(errors.InputError, match="expected a dict of weights"):
    torch_file.read(_write(path, [1, 2]))
  with pytest.raises(errors.InputError, match="low byte first"):
    torch_file.read(_write(path, {}, byteorder=b"big"))
  whole = _write(path, {"a": torch_files.tensor((4, 6), (6, 1))}).read_bytes()
  path.write_bytes(whole[:200])
  with pytest.raises(errors.InputError, match="cut short"):
    torch_file.read(path)
  path.write_bytes(b"GIF89a of no use at all")
  with pytest.raises(errors.InputError, match="got another kind"):
    torch_file.read(path)


def _safetensors(path, header, data):
  text = json.dumps(header).encode()
  path.write_bytes(struct.pack("<Q", len(text)) + text + data)
  return path


def test_reads_safetensors(tmp_path):
  narrow = (VALUES.view("<u4") >> 16).astype("<u2").tobytes()
  header = {
    "__metadata__": {"format": "pt"},
    "a": {"dtype": "F32", "shape": [4, 6], "data_offsets": [0, 96]},
    "b": {"dtype": "BF16", "shape": [24], "data_offsets": [96, 144]},
  }
  path = tmp_path / "weights.safetensors"
  got = torch_file.read(_safetensors(path, header, VALUES.tobytes() + narrow))
  assert set(got) == {"a", "b"}
  np.testing.assert_array_equal(got["a"], VALUES.reshape(4, 6))
  assert got["b"].dtype == np.float32
  np.testing.assert_array_equal(got["b"], VALUES)  # Small whole numbers.
  header["a"]["dtype"] = "F8_E4M3"
  with pytest.raises(errors.InputError, match="Save it as F32"):
    torch_file.read(_safetensors(path, header, b""))
  header["a"]["dtype"] = "F32"
  with pytest.raises(errors.InputError, match="broken"):
    torch_file.read(_safetensors(path, header, b""))


def test_reads_npz(tmp_path):
  np.savez(tmp_path / "weights.npz", **{"netD.a": VALUES, "b": VALUES[:2]})
  got = torch_file.read(tmp_path / "weights.npz")
  assert set(got) == {"netD.a", "b"}
  np.testing.assert_array_equal(got["netD.a"], VALUES)
  np.savez(tmp_path / "object.npz", a=np.array([{}], dtype=object))
  with pytest.raises(errors.InputError, match="broken"):
    torch_file.read(tmp_path / "object.npz")


def test_reads_what_torch_writes(tmp_path):
  torch = pytest.importorskip("torch")
  grid = torch.arange(24.0).reshape(4, 6)
  model = torch.nn.Sequential(
    torch.nn.Conv2d(2, 3, 3), torch.nn.GroupNorm(1, 3)
  )
  content = {
    "netD": model.state_dict(),
    "view": grid.t()[1:3],
    "parameter": torch.nn.Parameter(grid),
    "half": grid.half(),
    "bfloat16": grid.bfloat16(),
    "bool": grid > 3,
    "count": torch.tensor(7),
    "optimizer": torch.optim.Adam(model.parameters()).state_dict(),
  }
  path = tmp_path / "weights.pth"
  torch.save(content, path)
  got = torch_file.read(path)
  for name, value in content["netD"].items():
    np.testing.assert_array_equal(got["netD"][name], value.numpy())
  for name in ("view", "half", "bool", "count"):
    np.testing.assert_array_equal(got[name], content[name].numpy())
  for name in ("parameter", "bfloat16"):
    np.testing.assert_array_equal(got[name], grid.numpy())
  torch.save(content, path, _use_new_zipfile_serialization=False)
  jax.tree.map(np.testing.assert_array_equal, torch_file.read(path), got)
  for is_zip in (False, True):
    torch.save(model, path, _use_new_zipfile_serialization=is_zip)
    with pytest.raises(errors.InputError, match="not run"):
      torch_file.read(path)


def _peak_of(path):
  """Reads a file that must be refused; returns the most memory in use."""
  tracemalloc.start()
  try:
    with pytest.raises(errors.InputError) as caught:
      torch_file.read(path)
    return str(caught.value), tracemalloc.get_traced_memory()[1]
  finally:
    tracemalloc.stop()


def _archive(path, members, kind=zipfile.ZIP_STORED):
  with zipfile.ZipFile(path, "w", kind) as archive:
    for name, data in members.items():
      archive.writestr(name, data)
  return path


@pytest.mark.parametrize(
  "opcodes",
  [
    b"}r\xff\xff\xff\x1f.",  # A place in the memo.
    b"}p536870911\n.",
    b"\x8e" + struct.pack("<Q", 2**33) + b".",  # Bytes that are not there.
    b"\x96" + struct.pack("<Q", 2**33) + b".",
    b"\x8d" + struct.pack("<Q", 2**33) + b".",
    b"\x8b" + struct.pack("<I", 2**31 - 1) + b".",
  ],
)
def test_pickles_get_no_room_beyond_their_size(tmp_path, opcodes):
  data = b"\x80\x02" + opcodes
  assert len(data) < 20
  path = _archive(tmp_path / "w.pth", {"archive/data.pkl": data})
  text, peak = _peak_of(path)
  assert "broken" in text and peak < 2**20


@pytest.mark.parametrize("name", ["archive/data/0", "a.npy"])
def test_archives_do_not_inflate(tmp_path, name):
  members = {name: bytes(2**24)}
  if not name.endswith(".npy"):
    members["archive/data.pkl"] = b"\x80\x02}."
  kind = zipfile.ZIP_DEFLATED
  text, peak = _peak_of(_archive(tmp_path / "w.pth", members, kind))
  assert "would unpack to 1677" in text and peak < 2**20


def test_one_storage_is_not_copied_without_end(tmp_path):
  content = {f"{i}": torch_files.tensor((24,), (1,)) for i in range(3)}
  assert len(torch_file.read(_write(tmp_path / "w.pth", content))) == 3
  many = {
    f"{i}": torch_files.tensor((4096,), (1,), num=4096) for i in range(2000)
  }
  path = _write(tmp_path / "w.pth", many)
  with zipfile.ZipFile(path) as archive:
    pickled = archive.read("archive/data.pkl")
  members = {"archive/data.pkl": pickled, "archive/data/0": bytes(4 * 4096)}
  text, peak = _peak_of(_archive(path, members))
  assert "far more bytes" in text and peak < 2**23


def test_npy_gets_no_room_beyond_its_bytes(tmp_path):
  buffer = io.BytesIO()
  header = {"descr": "<f4", "fortran_order": False, "shape": (2**31,)}
  np.lib.format.write_array_header_1_0(buffer, header)
  path = _archive(tmp_path / "w.npz", {"a.npy": buffer.getvalue() + b"1234"})
  text, peak = _peak_of(path)
  assert "does not have the bytes" in text and peak < 2**20


@pytest.mark.parametrize(
  "entry",
  [
    {"shape": [24], "data_offsets": [-96, 0]},
    {"shape": [-24], "data_offsets": [0, 96]},
    {"shape": [-4, -6], "data_offsets": [0, 96]},
    {"shape": [-1], "data_offsets": [0, 96]},
    {"shape": [25], "data_offsets": [0, 96]},
    {"shape": [12], "data_offsets": [0, 96]},
    {"shape": [24], "data_offsets": [0, 100]},
    {"shape": [22], "data_offsets": [8, 96]},
    {"shape": [24.0], "data_offsets": [0, 96]},
    {"shape": [True, 24], "data_offsets": [0, 96]},
    {"shape": [2**62, 2**62], "data_offsets": [0, 0]},
    {"shape": "24", "data_offsets": [0, 96]},
    {"shape": [24], "data_offsets": [0]},
    {"shape": [24]},
    "a",
  ],
)
def test_safetensors_arrays_lie_where_their_shape_says(tmp_path, entry):
  if isinstance(entry, dict):
    entry = {"dtype": "F32", **entry}
  path = _safetensors(tmp_path / "w", {"a": entry}, VALUES.tobytes())
  with pytest.raises(errors.InputError, match="broken"):
    torch_file.read(path)


def test_safetensors_arrays_do_not_share_bytes(tmp_path):
  entry = {"dtype": "F32", "shape": [24], "data_offsets": [0, 96]}
  header = {f"{i}": entry for i in range(2)}
  path = _safetensors(tmp_path / "w", header, VALUES.tobytes())
  with pytest.raises(errors.InputError, match="does not lie where"):
    torch_file.read(path)
