"""What a command has written to a folder, so that its next call can clear it.

Only files that are on the list go: what else lies in the folder is the user's.
"""

import contextlib
import json
import os
import pathlib

NAME = ".written.jsonl"


class Written:
  """The list of the files that a command writes to a folder.

  Args:
    folder: The folder; it need not exist yet.
  """

  def __init__(self, folder: str | os.PathLike):
    self._folder = pathlib.Path(folder)
    self._list = self._folder / NAME

  def clear(self) -> int:
    """Deletes what earlier calls have written; returns how many files."""
    count = 0
    for path in self._listed():
      with contextlib.suppress(FileNotFoundError, IsADirectoryError):
        path.unlink()
        count += 1
      _remove_empty(path.parent, self._folder)
    self._list.unlink(missing_ok=True)
    return count

  def add(self, path: pathlib.Path) -> pathlib.Path:
    """Puts a file on the list, before it is written.

    Args:
      path: In the folder, which is made if it does not exist.

    Returns:
      `path`.
    """
    self._folder.mkdir(parents=True, exist_ok=True)
    name = path.relative_to(self._folder).as_posix()
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW
    with os.fdopen(os.open(self._list, flags, 0o666), "a") as file:
      file.write(json.dumps(name) + "\n")
    return path

  def _listed(self):
    """Returns the paths on the list that lie in the folder."""
    if self._list.is_symlink() or not self._list.is_file():
      return []
    root = self._folder.resolve()
    found = []
    for line in self._list.read_text(errors="replace").splitlines():
      with contextlib.suppress(ValueError):  # The last line may be cut.
        path = self._folder / str(json.loads(line))
        # Neither by ".." nor by links is anything deleted elsewhere.
        if path.parent.resolve().is_relative_to(root):
          found.append(path)
    return found


def _remove_empty(folder, root):
  """Deletes folders that have become empty, up to `root`."""
  while folder != root:
    try:
      folder.rmdir()
    except OSError:  # Not empty, or gone.
      return
    folder = folder.parent
