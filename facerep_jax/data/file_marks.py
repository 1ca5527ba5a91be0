"""Marks of files, by which it is seen that one has changed."""

import hashlib
import os
import stat

_WHOLE_BYTES = 2**16  # Up to this, all of a file is read.
_NUM_BLOCKS, _BLOCK_BYTES = 8, 2**13


def mark(path: str | os.PathLike) -> str:
  """Returns a text that changes when a file does.

  Of files up to 64 KiB it is made of size and contents, wherever and whenever
  they were written. Of larger ones, of size, time of the last change, and 8
  blocks of 8 KiB, from start to end: a change between the blocks that keeps
  size and time is not seen.

  Args:
    path: Of the file.

  Returns:
    The mark; of what is no file or cannot be read, it says that alone.
  """
  try:
    found = os.stat(path)
    if not stat.S_ISREG(found.st_mode):
      return "no file"
    with open(path, "rb") as file:
      return _of_open(file, found)
  except OSError as error:
    return f"unreadable ({error.errno})"


def _of_open(file, found):
  size = found.st_size
  if size <= _WHOLE_BYTES:
    return f"{size} {_hash([file.read()])}"
  last = size - _BLOCK_BYTES
  blocks = []
  for i in range(_NUM_BLOCKS):
    file.seek(i * last // (_NUM_BLOCKS - 1))
    blocks.append(file.read(_BLOCK_BYTES))
  return f"{size} {found.st_mtime_ns} {_hash(blocks)}"


def _hash(blocks):
  digest = hashlib.sha256()
  for block in blocks:
    digest.update(block)
  return digest.hexdigest()[:24]
