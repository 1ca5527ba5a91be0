import json

from facerep_jax.files import written


def write(folder, *names):
  kept = written.Written(folder)
  for name in names:
    path = kept.add(folder / name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(name)
  return kept


def names(folder):
  return sorted(
    p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()
  )


def test_what_earlier_calls_wrote_goes_and_nothing_else(tmp_path):
  folder = tmp_path / "out"
  assert written.Written(folder).clear() == 0
  assert not folder.exists()
  write(folder, "a.png", "turn/sub/b.gif", "new\nline.png")
  write(folder, "c.png")  # Of another call, which did not clear.
  (folder / "mine.png").write_text("mine")
  (folder / "turn" / "mine.gif").write_text("mine")
  (folder / "c.png").unlink()  # By the user.
  assert written.Written(folder).clear() == 3
  assert names(folder) == ["mine.png", "turn/mine.gif"]
  assert not (folder / "turn" / "sub").exists()
  assert written.Written(folder).clear() == 0


def test_nothing_outside_the_folder_is_deleted(tmp_path):
  folder, other = tmp_path / "out", tmp_path / "other"
  other.mkdir()
  for name in ("a.png", "b.png", "c.png"):
    (other / name).write_text("mine")
  write(folder, "own.png")
  (folder / "link").symlink_to(other)
  (folder / "file.png").symlink_to(other / "c.png")
  lines = ["../other/a.png", str(other / "a.png"), "link/b.png", "file.png"]
  with open(folder / written.NAME, "a") as file:
    file.writelines(json.dumps(line) + "\n" for line in lines)
    file.write('"cut off')
  # The link goes, and what it leads to stays.
  assert written.Written(folder).clear() == 2
  assert names(other) == ["a.png", "b.png", "c.png"]
  assert not (folder / "own.png").exists()
  assert not (folder / "file.png").is_symlink()


def test_a_planted_list_is_neither_read_nor_deleted_through(tmp_path):
  folder = tmp_path / "out"
  folder.mkdir()
  (tmp_path / "list").write_text('"victim.png"\n')
  (folder / "victim.png").write_text("mine")
  (folder / written.NAME).symlink_to(tmp_path / "list")
  assert written.Written(folder).clear() == 0
  assert names(folder) == ["victim.png"]
  assert (tmp_path / "list").exists()
