import ast
import json
import os
import pathlib

import pytest

from facerep_jax import errors
from facerep_jax.files import atomic
from facerep_jax.runs import metrics
from facerep_jax.tracks import tfrecord

PACKAGE = pathlib.Path(errors.__file__).parent


def test_files_appear_whole_or_not_at_all(tmp_path):
  path = tmp_path / "a" / "b.txt"
  with atomic.whole(path) as temporary:
    temporary.write_text("one")
    assert not path.exists() and temporary.parent == path.parent
  assert path.read_text() == "one"
  with pytest.raises(KeyError), atomic.whole(path) as temporary:
    temporary.write_text("tw")
    raise KeyError
  assert path.read_text() == "one"
  assert [p.name for p in path.parent.iterdir()] == ["b.txt"]


def test_two_who_write_one_file_do_not_mix(tmp_path):
  path = tmp_path / "b.txt"
  with atomic.whole(path) as first:
    first.write_text("fir")
    with atomic.whole(path) as second:
      second.write_text("second")
    assert path.read_text() == "second"
    first.write_text("first")
  assert path.read_text() == "first"
  assert os.listdir(tmp_path) == ["b.txt"]


def test_permissions_are_those_of_any_new_file(tmp_path):
  before = os.umask(0o027)
  try:
    atomic.write_text(tmp_path / "a", "x")
  finally:
    os.umask(before)
  assert (tmp_path / "a").stat().st_mode & 0o777 == 0o640


def test_what_dead_processes_left_is_removed_after_a_day(tmp_path):
  old, new = (tmp_path / f"a.txt.{x * 16}.tmp" for x in "01")
  other = tmp_path / "b.txt.0000000000000000.tmp"
  for path in (old, new, other):
    path.write_text("half")
  os.utime(old, (0, 0))
  os.utime(other, (0, 0))
  atomic.write_text(tmp_path / "a.txt", "whole")
  assert sorted(os.listdir(tmp_path)) == ["a.txt", new.name, other.name]


@pytest.mark.parametrize("is_dangling", [True, False])
def test_links_are_replaced_and_never_written_through(tmp_path, is_dangling):
  victim = tmp_path / "victim"
  folder = tmp_path / "out"
  folder.mkdir()
  if not is_dangling:
    victim.write_text("precious")
  names = ("a.json", "a.json.tmp", "b.tfrecord", "metrics.jsonl")
  for name in names:
    (folder / name).symlink_to(victim)
  atomic.write_json(folder / "a.json", {"x": 1})
  with tfrecord.Writer(folder / "b.tfrecord") as writer:
    writer.write(b"data")
  writer = metrics.Writer(folder, 0)
  writer.write(1, "train", {"loss": 2.0})
  writer.close()
  assert json.loads((folder / "a.json").read_text()) == {"x": 1}
  assert list(tfrecord.read_records(folder / "b.tfrecord")) == [b"data"]
  assert metrics.read(folder)[0]["loss"] == 2
  assert not any((folder / x).is_symlink() for x in names if x[-3:] != "tmp")
  assert victim.exists() != is_dangling
  assert is_dangling or victim.read_text() == "precious"


def test_locks_are_no_links(tmp_path):
  (tmp_path / "victim").write_text("precious")
  (tmp_path / "lock").symlink_to(tmp_path / "victim")
  with pytest.raises(errors.InputError, match=r"lock: is a symbolic link"):
    atomic.open_lock(tmp_path / "lock")
  (tmp_path / "lock").unlink()
  (tmp_path / "lock").write_text("held by 7")
  with atomic.open_lock(tmp_path / "lock") as file:
    assert file.read() == "held by 7"


def test_who_opens_a_file_knows_whether_it_is_new(tmp_path):
  file, is_new = atomic.open_or_make(tmp_path / "lock")
  with file:
    assert is_new
    file.write("held")
  file, is_new = atomic.open_or_make(tmp_path / "lock")
  with file:
    assert not is_new and file.read() == "held"
  with pytest.raises(FileNotFoundError):
    atomic.open_or_make(tmp_path / "none" / "lock")


def test_folders_appear_whole_or_not_at_all(tmp_path):
  with atomic.whole_folder(tmp_path / "a") as part:
    (part / "x").write_text("x")
    assert not (tmp_path / "a").exists()
  assert os.listdir(tmp_path / "a") == ["x"]
  with pytest.raises(KeyError), atomic.whole_folder(tmp_path / "b") as part:
    (part / "x").write_text("x")
    raise KeyError
  assert os.listdir(tmp_path) == ["a"]


@pytest.mark.parametrize(
  "content", [b"", b"{", b"[]", b"3", b"\xff\xfe", b"[" * 200_000]
)
def test_damaged_json_is_one_line(tmp_path, content):
  (tmp_path / "a.json").write_bytes(content)
  with pytest.raises(errors.InputError, match=r"a\.json: is damaged") as caught:
    atomic.read_json(tmp_path / "a.json", "Delete it.")
  assert "\n" not in str(caught.value)
  assert str(caught.value).endswith("Delete it.")


def test_json_that_is_a_folder_is_one_line(tmp_path):
  with pytest.raises(errors.InputError, match="cannot be read"):
    atomic.read_json(tmp_path)
  with pytest.raises(FileNotFoundError):
    atomic.read_json(tmp_path / "none")


# Calls that write under a name: (file, called) that need not be whole.
ALLOWED = {
  ("metrics.py", "open"),  # Grows line by line, in a file that is ours.
  ("gpu_run.py", "open"),  # A log that a command grows.
  ("distributed.py", "open"),  # os.devnull.
  ("outputs.py", "open"),  # Makes room in a file that is there.
  ("code_cache.py", "np.lib.format.open_memmap"),  # Of `atomic.whole`.
  ("run_lock.py", "os.rename"),  # Takes a lock away, for one of several.
}
WRITERS = {
  *("write_text", "write_bytes", "symlink_to"),
  *("os.replace", "os.rename", "os.symlink", "os.link"),
  *("tempfile.mkstemp", "tempfile.mkdtemp", "tempfile.NamedTemporaryFile"),
  *("np.save", "np.savez", "np.savez_compressed", "shutil.copyfile"),
  *("shutil.copy", "shutil.copytree", "np.lib.format.open_memmap"),
}


def _writes(tree):
  """Yields calls that write outside of an `atomic.whole` block."""
  inside = {
    call
    for block in ast.walk(tree)
    if isinstance(block, ast.With) and "atomic.whole" in ast.unparse(block)
    for call in ast.walk(block)
  }
  for node in ast.walk(tree):
    if not isinstance(node, ast.Call) or node in inside:
      continue
    called = ast.unparse(node.func)
    modes = [*node.args[1:2], *(x.value for x in node.keywords)]
    is_open = called == "open" and any(
      isinstance(x, ast.Constant) and set(str(x.value)) & set("wax+")
      for x in modes
    )
    last = called.rsplit(".", 1)[-1]
    is_writer = called in WRITERS or (
      last in WRITERS and not called.startswith("atomic.")
    )
    is_writer |= called.startswith("Image.") and last == "save"
    # Into memory.
    is_buffer = bool(node.args) and ast.unparse(node.args[0]) in (
      *("buffer", "arrays", "out", "file"),
    )
    if is_open or (is_writer and not is_buffer):
      yield called, node.lineno


def test_all_that_is_written_goes_through_this_module():
  found = [
    f"{path.relative_to(PACKAGE)}:{line}: {called}"
    for path in sorted(PACKAGE.rglob("*.py"))
    if path.name != "atomic.py"
    for called, line in _writes(ast.parse(path.read_text()))
    if (path.name, called) not in ALLOWED
  ]
  assert found == []


def test_the_check_of_this_module_sees_what_is_written():
  text = (
    "p.write_text('x')\nopen(p, 'w')\nopen(p)\nwith atomic.whole(p) as t:\n"
  )
  found = list(_writes(ast.parse(text + "  t.write_text('y')\n")))
  assert found == [("p.write_text", 1), ("open", 2)]
