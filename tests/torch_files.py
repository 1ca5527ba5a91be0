"""Writes the files that torch writes, without torch, for tests."""

import io
import pathlib
import pickle
import struct
import zipfile
from typing import Any

import numpy as np

LEGACY_MARK, LEGACY_VERSION = 0x1950A86A20F9469CFC6C, 1001
_KINDS = {
  "float64": "DoubleStorage",
  "float32": "FloatStorage",
  "float16": "HalfStorage",
  "int64": "LongStorage",
}


class Global:
  """Pickles as a name of a module that need not be there."""

  def __init__(self, module, name):
    self.module, self.name = module, name


class Call:
  """Pickles as a call of a name."""

  def __init__(self, function, *args):
    self.function, self.args = function, args


class Object:
  """Pickles as an object of a class, with a state."""

  def __init__(self, cls, state):
    self.cls, self.state = cls, state


class Pid:
  """Pickles as a persistent id."""

  def __init__(self, *pid):
    self.pid = pid


class Pickler(pickle._Pickler):
  """Writes what torch writes."""

  def persistent_id(self, obj):
    return obj.pid if isinstance(obj, Pid) else None

  def save(self, obj, save_persistent_id=True):
    if isinstance(obj, Global):
      self.write(f"c{obj.module}\n{obj.name}\n".encode())
    elif isinstance(obj, Call):
      self.save(obj.function)
      self.save(obj.args)
      self.write(pickle.REDUCE)
    elif isinstance(obj, Object):
      self.save(obj.cls)
      self.save(())
      self.write(pickle.NEWOBJ)
      self.save(obj.state)
      self.write(pickle.BUILD)
    else:
      super().save(obj, save_persistent_id)


def dumps(content: Any) -> bytes:
  """Pickles as torch does, protocol 2."""
  stream = io.BytesIO()
  Pickler(stream, 2).dump(content)
  return stream.getvalue()


def tensor(
  size, strides, offset=0, key="0", num=24, kind="FloatStorage", pid_end=()
) -> Call:
  """A tensor in a storage."""
  pid = Pid("storage", Global("torch", kind), key, "cpu", num, *pid_end)
  function = Global("torch._utils", "_rebuild_tensor_v2")
  return Call(function, pid, offset, size, strides, False, {})


def _lay_out(tree, storages, pid_end):
  """Turns the arrays of nested dicts and lists into tensors."""
  if isinstance(tree, dict):
    return {k: _lay_out(v, storages, pid_end) for k, v in tree.items()}
  if isinstance(tree, list):
    return [_lay_out(v, storages, pid_end) for v in tree]
  if not isinstance(tree, np.ndarray):
    return tree
  # Keys as old versions of torch have them: addresses.
  key = str(94_000_000_000 + 64 * len(storages))
  storages[key] = np.ascontiguousarray(tree)
  strides = tuple(x // tree.itemsize for x in storages[key].strides)
  kind = _KINDS[tree.dtype.name]
  size = tree.shape
  strides = strides if size else ()
  return tensor(size, strides, 0, key, tree.size, kind, pid_end)


def write_zip(path: pathlib.Path, tree: Any) -> pathlib.Path:
  """Writes nested dicts of arrays in the format of today."""
  storages = {}
  content = dumps(_lay_out(tree, storages, ()))
  with zipfile.ZipFile(path, "w") as archive:
    archive.writestr("archive/data.pkl", content)
    for key, value in storages.items():
      archive.writestr(f"archive/data/{key}", value.tobytes())
    archive.writestr("archive/byteorder", b"little")
    archive.writestr("archive/version", b"3")
  return path


def legacy_bytes(
  content: Any,
  storages: dict[str, np.ndarray],
  version: int = LEGACY_VERSION,
  is_little: bool = True,
) -> bytes:
  """What torch wrote before version 1.6, of a content made of `tensor`s."""
  sizes = {"short": 2, "int": 4, "long": 4}
  machine = {
    "protocol_version": LEGACY_VERSION,
    "little_endian": is_little,
    "type_sizes": sizes,
  }
  keys = sorted(storages)
  pickles = (LEGACY_MARK, version, machine, content, keys)
  parts = [dumps(x) for x in pickles]
  for key in keys:
    parts += [struct.pack("<q", storages[key].size), storages[key].tobytes()]
  return b"".join(parts)


def write_legacy(path: pathlib.Path, tree: Any) -> pathlib.Path:
  """Writes nested dicts of arrays in the format of before torch 1.6."""
  storages = {}
  content = _lay_out(tree, storages, (None,))
  path.write_bytes(legacy_bytes(content, storages))
  return path
