import io
import zlib

import numpy as np
import pytest

from facerep_jax import errors
from facerep_jax.data.labelled import matlab

scipy_io = pytest.importorskip("scipy.io")
_NAMES = ("whole", "real", "single", "short")


def _values():
  rng = np.random.default_rng(0)
  return {
    "whole": rng.integers(0, 200, (3, 5)).astype(np.uint8),
    "real": rng.normal(size=(3, 68)),
    "single": rng.normal(size=(1, 7)).astype(np.float32),
    "short": np.array([[-3]], np.int16),
  }


def _write(path, values, **options):
  scipy_io.savemat(path, values, **options)
  return path


@pytest.mark.parametrize("compressed", [False, True])
def test_numbers_are_those_that_were_saved(tmp_path, compressed):
  values = _values() | {"text": "hello", "cells": np.array([[1, "a"]], object)}
  path = _write(tmp_path / "a.mat", values, do_compression=compressed)
  got = matlab.read(path, (*_NAMES, "absent"))
  assert tuple(got) == _NAMES
  for name, value in got.items():
    assert value.dtype == np.float64
    np.testing.assert_array_equal(value, values[name])


@pytest.mark.parametrize(
  "value", ["hello", np.array([[1, "a"]], object), {"a": 1}, np.array([[1j]])]
)
def test_wanted_variables_must_be_real_numbers(tmp_path, value):
  path = _write(tmp_path / "a.mat", {"x": value})
  with pytest.raises(errors.InputError, match="x is no matrix of real numbers"):
    matlab.read(path, ("x",))


@pytest.mark.parametrize(
  "data", [b"", b"x" * 200, b"\x89HDF\r\n\x1a\n" + b"\0" * 504]
)
def test_other_files(tmp_path, data):
  path = tmp_path / "a.mat"
  path.write_bytes(data)
  with pytest.raises(
    errors.InputError, match="a.mat: is no MATLAB file of ver"
  ):
    matlab.read(path, ("x",))
  with pytest.raises(errors.InputError, match="none.mat: cannot be read"):
    matlab.read(tmp_path / "none.mat", ("x",))


def test_a_small_file_cannot_fill_the_memory(tmp_path):
  path = _write(tmp_path / "a.mat", {"x": np.zeros((1, 1))})
  packed = zlib.compress(bytes(2**26))
  tag = np.array([15, len(packed)], "<u4").tobytes()
  path.write_bytes(path.read_bytes()[:128] + tag + packed)
  with pytest.raises(errors.InputError, match="larger than 16777216 bytes"):
    matlab.read(path, ("x",))


@pytest.mark.parametrize("compressed", [False, True])
def test_damage_is_refused_or_harmless(tmp_path, compressed):
  buffer = io.BytesIO()
  _write(buffer, _values(), do_compression=compressed)
  good, path = buffer.getvalue(), tmp_path / "a.mat"
  rng = np.random.default_rng(1)
  refused = 0
  for trial in range(300):
    data = bytearray(good)
    for _ in range(rng.integers(1, 5)):
      data[rng.integers(120, len(data))] = rng.integers(256)
    if trial % 5 == 0:
      data = data[: rng.integers(len(data))]
    path.write_bytes(data)
    try:
      matlab.read(path, _NAMES)
    except errors.InputError as error:
      refused += 1
      assert str(path) in str(error) and "\n" not in str(error)
  assert refused > 50
