"""Tables in files: Parquet, CSV or NPZ, written a block of rows at a time."""

import csv
import json
import os
import pathlib
import zipfile
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from facerep_jax import errors
from facerep_jax.files import atomic

SUFFIXES = (".npz", ".csv", ".parquet")
ROWS = 4096  # A block, and a row group of Parquet.
KEY = "facerep_jax"  # Of the metadata.
TEXT = "text"


class Column(NamedTuple):
  """A column, or several of one meaning that are numbered.

  Attributes:
    name: Of the column; of several, NAME_0, NAME_1 and so on.
    kind: "text", or a NumPy type. Where it says nothing, whole numbers are -1
      and floats NaN: empty in Parquet and CSV.
    unit: Such as "px".
    meaning: In a few words.
    width: How many there are; 0 for a single one, that is not numbered.
  """

  name: str
  kind: str
  unit: str
  meaning: str
  width: int = 0

  def names(self) -> list[str]:
    """Returns the names of its columns in Parquet and CSV."""
    if not self.width:
      return [self.name]
    return [f"{self.name}_{i}" for i in range(self.width)]


# By name of a `Column`: [n], or [n, width]; text is a list.
Block = dict[str, Any]


def check(path: str | os.PathLike, flag: str = "") -> None:
  """Checks that a table can be written under a name, by how it ends.

  Args:
    path: Of the file.
    flag: That names it, such as "--output", for messages.

  Raises:
    InputError: It ends otherwise, pyarrow is missing, or the file that a CSV
      file's metadata would go to is none of this library.
  """
  suffix = _suffix(path)
  name = f"{flag}={path}" if flag else os.fspath(path)
  if suffix not in SUFFIXES:
    raise errors.InputError(
      f"{name}: expected a name that ends in one of {', '.join(SUFFIXES)}."
    )
  if suffix == ".parquet":
    errors.require("pyarrow", "table", "writing Parquet")
  if suffix == ".csv":
    _check_sidecar(name, sidecar(path))


def sidecar(path: str | os.PathLike) -> pathlib.Path:
  """Returns where the metadata of a CSV file lies."""
  return pathlib.Path(path).with_suffix(".json")


def _check_sidecar(name, place):
  """Refuses to write over a file of the user's that has the sidecar's name."""
  if not os.path.lexists(place):
    return
  try:
    is_ours = KEY in atomic.read_json(place)
  except (errors.InputError, FileNotFoundError):
    is_ours = False
  if not is_ours:
    raise errors.InputError(
      f"{name}: {place}, where its units would go, is another file already. "
      "Give another name."
    )


def _suffix(path):
  return os.path.splitext(os.fspath(path))[1].lower()


def write(
  path: str | os.PathLike,
  columns: list[Column],
  blocks: Callable[[], Iterator[Block]],
  num_rows: int,
  metadata: dict[str, Any],
) -> None:
  """Writes a table, whole or not at all.

  Args:
    path: See `check`; NAME.csv gets a NAME.json beside it.
    columns: Which.
    blocks: Makes an iterator over the rows, at most `ROWS` a block. NPZ, which
      holds an array after the other, asks for one for each column.
    num_rows: How many there are in all.
    metadata: Of the whole table; units and meanings of columns are added.
      Parquet has it as JSON under the key `facerep_jax`; the JSON file of CSV
      and the array `metadata` of NPZ, a JSON text, are an object of this key.

  Raises:
    InputError: As `check`.
    OSError: It cannot be written.
  """
  check(path)
  described = {
    name: {"unit": column.unit, "meaning": column.meaning}
    for column in columns
    for name in column.names()
  }
  metadata = {KEY: metadata | {"columns": described}}
  kind = _suffix(path)
  with atomic.whole(path) as temporary:
    if kind == ".parquet":
      _write_parquet(temporary, columns, blocks(), metadata)
    elif kind == ".npz":
      _write_npz(temporary, columns, blocks, num_rows, metadata)
    else:
      with open(temporary, "w", encoding="utf-8", newline="") as file:
        _write_csv(file, columns, blocks())
      atomic.write_json(sidecar(path), metadata)


def _flat(columns, block):
  """Yields the name, kind and values of each column of a file."""
  for column in columns:
    values = block[column.name]
    parts = values.T if column.width else [values]
    for name, part in zip(column.names(), parts):
      yield name, column.kind, part


def _is_empty(values):
  """Returns [n] bool, where numbers say nothing."""
  if np.issubdtype(values.dtype, np.floating):
    return np.isnan(values)
  return values == -1


def _write_parquet(path, columns, blocks, metadata):
  pa = errors.require("pyarrow", "table", "writing Parquet")
  parquet = errors.require("pyarrow.parquet", "table", "writing Parquet")
  kinds = {
    name: pa.string() if column.kind == TEXT else pa.type_for_alias(column.kind)
    for column in columns
    for name in column.names()
  }
  text = {key: json.dumps(value) for key, value in metadata.items()}
  schema = pa.schema(list(kinds.items()), metadata=text)
  texts = [column.name for column in columns if column.kind == TEXT]
  with parquet.ParquetWriter(path, schema, use_dictionary=texts) as writer:
    for block in blocks:
      arrays = [
        pa.array(part, kinds[name])
        if kind == TEXT
        else pa.array(part, kinds[name], mask=_is_empty(part))
        for name, kind, part in _flat(columns, block)
      ]
      rows = pa.Table.from_arrays(arrays, schema=schema)
      writer.write_table(rows, row_group_size=ROWS)


def _write_csv(file, columns, blocks):
  writer = csv.writer(file, lineterminator="\n")
  writer.writerow([name for x in columns for name in x.names()])
  for block in blocks:
    parts = [_texts(*x[1:]) for x in _flat(columns, block)]
    writer.writerows(zip(*parts))


def _texts(kind, values):
  """Returns a column as text from which the same numbers are read."""
  if kind == TEXT:
    return values
  # Nine digits tell all floats of 32 bits apart.
  form = {"float32": "{:.9g}".format, "float64": repr}.get(kind, str)
  return [
    "" if is_empty else form(value)
    for value, is_empty in zip(values.tolist(), _is_empty(values).tolist())
  ]


def _write_npz(path, columns, blocks, num_rows, metadata):
  """Writes what `numpy.savez` would, but for memory: a block at a time."""
  with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
    for column in columns:
      kind, shape = column.kind, (num_rows,)
      if kind == TEXT:
        longest = (len(x) for block in blocks() for x in block[column.name])
        kind = f"<U{max(longest, default=1) or 1}"
      if column.width:
        shape += (column.width,)
      head = {"descr": np.dtype(kind).str, "fortran_order": False}
      with archive.open(f"{column.name}.npy", "w", force_zip64=True) as file:
        np.lib.format.write_array_header_1_0(file, head | {"shape": shape})
        for block in blocks():
          values = np.ascontiguousarray(block[column.name], kind)
          file.write(values.tobytes())
    with archive.open("metadata.npy", "w") as file:
      np.lib.format.write_array(file, np.array(json.dumps(metadata)))
