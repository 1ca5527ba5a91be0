import os

import numpy as np
import pytest

from facerep_jax.data import file_marks

SMALL, LARGE = 2**16, 3 * 2**20


def write(path, size, seed=0):
  path.write_bytes(np.random.default_rng(seed).bytes(size))
  return path


@pytest.mark.parametrize("size", [1, 1000, SMALL, SMALL + 1, LARGE])
def test_other_contents_of_equal_size_and_time_are_seen(tmp_path, size):
  path = write(tmp_path / "a.bmp", size)
  before, times = file_marks.mark(path), os.stat(path)
  assert file_marks.mark(path) == before
  write(path, size, seed=1)
  os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
  assert os.stat(path).st_size == size
  assert file_marks.mark(path) != before


@pytest.mark.parametrize("size", [1000, SMALL])
def test_one_byte_of_a_small_file_is_seen(tmp_path, size):
  path = write(tmp_path / "a.bmp", size)
  times, marks = os.stat(path), {file_marks.mark(path)}
  for place in (0, size // 2, size - 1):
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    marks.add(file_marks.mark(path))
  assert len(marks) == 4


def test_copies_of_small_files_are_the_same_whenever_written(tmp_path):
  marks = set()
  for i, name in enumerate("ab"):
    path = write(tmp_path / name, SMALL)
    os.utime(path, ns=(i, i))
    marks.add(file_marks.mark(path))
  assert len(marks) == 1


def test_large_files_show_their_ends_and_their_time(tmp_path):
  path = write(tmp_path / "a.mp4", LARGE)
  marks = {file_marks.mark(path)}
  times = os.stat(path)
  for place in (0, LARGE - 1):
    with open(path, "r+b") as file:
      file.seek(place)
      byte = file.read(1)[0]
      file.seek(place)
      file.write(bytes([byte ^ 1]))
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    marks.add(file_marks.mark(path))
  os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns + 1))
  marks.add(file_marks.mark(path))
  assert len(marks) == 4


def test_what_is_no_file_has_a_mark_and_is_not_read(tmp_path):
  os.mkfifo(tmp_path / "a.jpg")  # Reading it would take for ever.
  (tmp_path / "b.jpg").symlink_to(tmp_path / "nowhere")
  assert file_marks.mark(tmp_path / "a.jpg") == "no file"
  assert file_marks.mark(tmp_path / "b.jpg").startswith("unreadable")
