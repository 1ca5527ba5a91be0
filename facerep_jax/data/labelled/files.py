"""Reads the files of labelled sets: images, lines of text, rows of CSV."""

import csv
import gzip
import os
from collections.abc import Iterator

import numpy as np

from facerep_jax import errors
from facerep_jax.files import decode, images


def read_image(path: str | os.PathLike) -> np.ndarray:
  """Reads an image file.

  Args:
    path: File.

  Returns:
    uint8 [H, W, 3] RGB, upright.

  Raises:
    ImageError: The file is missing, or no image that can be used.
  """
  path = os.fspath(path)
  return decode.decode(images.read_file(path), path)


def read_lines(path: str | os.PathLike) -> list[tuple[int, str]]:
  """Reads the lines of a text file that are not blank.

  Args:
    path: File, UTF-8.

  Returns:
    Number, from 1, and text without outer blanks of each line.

  Raises:
    InputError: The file cannot be read.
  """
  try:
    with open(path, encoding="utf-8-sig") as file:
      lines = [(i, line.strip()) for i, line in enumerate(file, 1)]
  except (OSError, UnicodeDecodeError) as error:
    raise _unreadable(path, error) from error
  return [(number, line) for number, line in lines if line]


def read_rows(
  path: str | os.PathLike,
) -> tuple[tuple[str, ...], Iterator[tuple[int, list[str]]]]:
  """Reads a CSV file with a header.

  Args:
    path: File, UTF-8; read through gzip where its name ends in ".gz".

  Returns:
    Names of the columns, and an iterator over the rows: number of the line
    that ends it, from 1, and its fields, blanks around them removed.

  Raises:
    InputError: The file cannot be read, has no header, the same column twice,
      or (from the iterator) a row with more or fewer fields.
  """
  rows = _rows(path)
  try:
    _, columns = next(rows)
  except StopIteration:
    raise errors.InputError(f"{path}: is empty, expected CSV.") from None
  for column in columns:
    if columns.count(column) > 1:
      raise errors.InputError(f"{path}, line 1: column {column!r} is twice.")
  return tuple(columns), _check_width(path, len(columns), rows)


def _rows(path):
  opener = gzip.open if os.fspath(path).endswith(".gz") else open
  try:
    with opener(path, "rt", encoding="utf-8-sig", newline="") as file:
      reader = csv.reader(file, skipinitialspace=True)
      for fields in reader:
        if fields:
          yield reader.line_num, [field.strip() for field in fields]
  except (OSError, EOFError, UnicodeDecodeError, csv.Error) as error:
    raise _unreadable(path, error) from error


def _check_width(path, width, rows):
  for line, fields in rows:
    if len(fields) != width:
      raise errors.InputError(
        f"{path}, line {line}: expected {width} fields as in the header, got "
        f"{len(fields)}."
      )
    yield line, fields


def _unreadable(path, error):
  reason = getattr(error, "strerror", None) or error
  return errors.InputError(f"{path}: cannot be read ({reason}).")


def to_float(text: str, where: str) -> float:
  """Parses a finite number; `where` names file, line and column.

  Raises:
    InputError: The text is no number, or it is not finite.
  """
  try:
    value = float(text)
  except ValueError:
    value = np.nan
  if not np.isfinite(value):
    raise errors.InputError(f"{where}: expected a number, got {text!r}.")
  return value


def require_file(path: str | os.PathLike, where: str) -> str:
  """Checks that a file is there that another file names.

  Args:
    path: The file.
    where: File and line that name it, for the message.

  Returns:
    The path as text.

  Raises:
    InputError: There is no such file.
  """
  path = os.fspath(path)
  if not os.path.isfile(path):
    raise errors.InputError(f"{where}: the image {path} does not exist.")
  return path


def require_folder(path: str | os.PathLike, layout: str) -> None:
  """Checks that a folder is there.

  Args:
    path: The folder.
    layout: What it should hold, for the message.

  Raises:
    InputError: There is no such folder.
  """
  if not os.path.isdir(path):
    raise errors.InputError(
      f"{path}: there is no such folder; expected one with {layout}."
    )
