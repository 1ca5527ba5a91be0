"""Writing files that are whole or absent."""

import contextlib
import os
import pathlib
from collections.abc import Iterator


@contextlib.contextmanager
def whole(path: str | os.PathLike) -> Iterator[pathlib.Path]:
  """Makes way for a file that appears only when it is complete.

  Args:
    path: Of the file; its folder is made if it does not exist.

  Yields:
    Where to write it, beside its place. It takes its place at the end, and is
    removed after an error.
  """
  path = pathlib.Path(path)
  path.parent.mkdir(parents=True, exist_ok=True)
  temporary = path.with_name(path.name + ".tmp")
  try:
    yield temporary
    os.replace(temporary, path)
  finally:
    temporary.unlink(missing_ok=True)
