import errno
import os
import subprocess
import sys
import tempfile

import numpy as np
import pytest

from facerep_jax import errors
from facerep_jax.files import outputs


def full(number):
  """Returns a stand-in for a temporary file on such a disk."""

  class Full(tempfile.SpooledTemporaryFile):
    def __init__(self, dir):
      super().__init__()

    def write(self, data):
      raise OSError(number, os.strerror(number))

  return Full


@pytest.mark.parametrize("check", [outputs.check_file, outputs.check_folder])
@pytest.mark.parametrize(
  ("number", "said"),
  [
    (errno.ENOSPC, "No space left on device. Make room"),
    (errno.EROFS, "Read-only file system. Choose another place"),
    (errno.EACCES, "Permission denied. Change its permissions"),
    (errno.EDQUOT, "Disk quota exceeded. Make room"),
  ],
)
def test_places_that_take_nothing(check, number, said, tmp_path, monkeypatch):
  monkeypatch.setattr(outputs.tempfile, "TemporaryFile", full(number))
  with pytest.raises(errors.InputError) as caught:
    check(tmp_path / "x", "--output")
  start = f"--output={tmp_path / 'x'}: nothing can be written there: "
  assert str(caught.value).startswith(start + said)


def test_places_that_are_fine_stay_as_they_are(tmp_path):
  outputs.check_file(tmp_path / "x", "--output")
  outputs.check_folder(tmp_path / "a" / "b", "--output")
  outputs.check_folder(tmp_path)
  assert list(tmp_path.iterdir()) == []


def test_places_that_cannot_be(tmp_path):
  (tmp_path / "file").write_text("x")
  (tmp_path / "dead").symlink_to(tmp_path / "nowhere")
  for path, said in (
    (tmp_path / "file", "file is a file"),
    (tmp_path / "file" / "x" / "y", "file is a file"),
    (tmp_path / "dead", "dead is a link that leads nowhere"),
  ):
    with pytest.raises(errors.InputError, match=said):
      outputs.check_folder(path, "--output")
  with pytest.raises(errors.InputError, match="expected a file, got a folder"):
    outputs.check_file(tmp_path)
  with pytest.raises(errors.InputError, match="its folder does not exist"):
    outputs.check_file(tmp_path / "no" / "x")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission(tmp_path):
  tmp_path.chmod(0o500)
  with pytest.raises(errors.InputError, match="Permission denied"):
    outputs.check_file(tmp_path / "x")


def test_room_is_kept_once_and_given_back(tmp_path, monkeypatch):
  kept = []
  monkeypatch.setattr(
    outputs.os, "posix_fallocate", lambda file, start, size: kept.append(size)
  )
  with outputs.Room(tmp_path / "x") as room:
    room.keep(1000)
    room.keep(1000)
  assert kept == [1000]
  assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
  ("number", "is_told"),
  [(errno.ENOSPC, True), (errno.EFBIG, True), (errno.EOPNOTSUPP, False)],
)
def test_too_little_room(number, is_told, tmp_path, monkeypatch):
  def refuse(file, start, size):
    raise OSError(number, "x")

  monkeypatch.setattr(outputs.os, "posix_fallocate", refuse)
  with outputs.Room(tmp_path / "x") as room:
    if is_told:
      said = r"x: 2 MiB are needed there: .*Make room"
      with pytest.raises(errors.InputError, match=said):
        room.keep(2 * 2**20)
    else:
      room.keep(2 * 2**20)


def test_a_sparse_file_gets_its_room(tmp_path):
  path = tmp_path / "a.npy"
  held = np.lib.format.open_memmap(path, "w+", np.float32, (2**18,))
  before = os.stat(path).st_blocks
  outputs.fill(path)
  assert os.stat(path).st_blocks * 512 >= 2**20 > before * 512
  assert (held == 0).all()


def test_a_limit_of_the_system_is_told(tmp_path):
  """The real thing, in a process of its own: files of at most 64 KiB."""
  code = (
    "import resource, sys; from facerep_jax import cli\n"
    "from facerep_jax.files import outputs\n"
    "resource.setrlimit(resource.RLIMIT_FSIZE, (2**16, 2**16))\n"
    "sys.exit(cli.run(lambda a: outputs.Room(a[0]).keep(2**20)))"
  )
  done = subprocess.run(
    [sys.executable, "-c", code, str(tmp_path / "x")],
    capture_output=True,
    text=True,
    check=False,
  )
  assert done.returncode == 1
  (line,) = done.stderr.splitlines()
  assert "1 MiB are needed there: File too large. Make room" in line
