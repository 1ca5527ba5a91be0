import dataclasses
import os

import pytest

from facerep_jax import errors
from facerep_jax.data import sources


def make(root, *names, data=b"x"):
  for name in names:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
  return str(root)


def entries(path, layout="auto", person=None):
  units = sources.collect([sources.Source(path, layout, person)])
  return [entry for unit in units for entry in unit.entries]


def names(*args, **kwargs):
  return [(x.person, x.video, x.track) for x in entries(*args, **kwargs)]


def test_videos_each_are_a_person(tmp_path):
  root = make(tmp_path, "v10.mp4", "v9.MPG", "sub/a.mkv", ".x.mp4", "notes.txt")
  assert names(root) == [
    ("sub/a", "sub/a", ""),
    ("v9", "v9", ""),
    ("v10", "v10", ""),
  ]


def test_person_comes_from_the_expression(tmp_path):
  root = make(tmp_path, "anna/1.mp4", "anna/2.mp4", "bo/1.mp4")
  got = names(root, person=r"^([^/]+)/")
  assert got == [
    ("anna", "anna/1", ""),
    ("anna", "anna/2", ""),
    ("bo", "bo/1", ""),
  ]


def test_folders_of_known_layouts_are_people(tmp_path):
  root = make(
    tmp_path,
    *("dev/mp4/id00001/v1/1.mp4", "dev/mp4/id00001/v2/1.mp4"),
    *("dev/mp4/id00002/v1/1.mp4", "dev/mp4/id00002/v1/2.mp4"),
  )
  assert names(root) == [
    ("id00001", "dev/mp4/id00001/v1/1", ""),
    ("id00001", "dev/mp4/id00001/v2/1", ""),
    ("id00002", "dev/mp4/id00002/v1/1", ""),
    ("id00002", "dev/mp4/id00002/v1/2", ""),
  ]
  [unit, *_] = sources.collect([sources.Source(root)])
  assert "VoxCeleb" in unit.naming
  # How people are named is told by their names.
  assert unit.key() == dataclasses.replace(unit, naming="").key()


def test_names_of_second_people_are_not_taken(tmp_path):
  root = make(tmp_path, "a.mp4", "a#2.mp4", "b#3.mp4")
  with pytest.raises(errors.InputError, match=r"person 'a#2' .*a\.mp4"):
    entries(root)
  (tmp_path / "a.mp4").unlink()
  assert len(names(root)) == 2


@pytest.mark.parametrize("person", ["^(x)/", "anna", "(", "^()"])
def test_expression_must_name_everyone(tmp_path, person):
  root = make(tmp_path, "anna/1.mp4")
  with pytest.raises(errors.InputError, match="--person"):
    entries(root, person=person)


def test_frame_folders_are_person_video_track(tmp_path):
  root = make(
    tmp_path,
    "p2/v/1/f1.jpg",
    "p2/v/1/f2.jpg",
    "p2/v/2/f1.jpg",
    "p10/w/1/f1.png",
  )
  units = sources.collect([sources.Source(root)])
  assert [unit.kind for unit in units] == ["frames", "frames"]
  assert [[x.track for x in unit.entries] for unit in units] == [
    ["1", "2"],
    ["1"],
  ]
  assert names(root)[2] == ("p10", "w", "1")
  assert units[0].entries[0].path == os.path.join(root, "p2/v/1")


@pytest.mark.parametrize(
  ("folder", "want"),
  [
    ("", ("base", "base", "base")),
    ("t", ("t", "t", "t")),
    ("p/t", ("p", "t", "t")),
    ("p/1.6/v/t", ("p", "1.6/v", "t")),
  ],
)
def test_frame_folders_of_other_depths(tmp_path, folder, want):
  root = make(tmp_path / "base", os.path.join(folder, "f1.jpg"))
  assert names(root, "frames") == [want]


def test_flat_images_each_are_a_track(tmp_path):
  root = make(tmp_path, *(f"{i}.jpg" for i in range(300)))
  units = sources.collect([sources.Source(root)])
  assert [len(unit.entries) for unit in units] == [256, 44]
  assert names(root)[11] == ("11", "11", "00000")


@pytest.mark.parametrize(
  ("files", "people"),
  [
    (["1.jpg", "2.jpg"], ["1", "2"]),
    (["a/1.jpg", "a/2.jpg", "b/c/1.jpg"], ["a", "a", "b"]),
    # What all share tells nothing.
    (["x/y/a/1.jpg", "x/y/b/1.jpg"], ["a", "b"]),
    (["x/1.jpg", "x/2.jpg"], ["x/1", "x/2"]),
    (["a/1.jpg", "a/2.jpg", "1.jpg"], ["1", "a", "a"]),
  ],
)
def test_photos_are_grouped_by_folder(tmp_path, files, people):
  root = make(tmp_path, *files)
  assert [x[0] for x in names(root, "photos")] == people
  assert len({x[1] for x in names(root, "photos")}) == len(files)
  alone = names(root, "photos", person="(.*)")
  assert [x[0] for x in alone] == sorted(files, key=sources.natural_key)


def test_files_of_the_same_stem_keep_their_extension(tmp_path):
  root = make(tmp_path, "a.jpg", "a.png", "b.jpg")
  assert [x[0] for x in names(root)] == ["a.jpg", "a.png", "b"]


def test_unclear_folders_ask_for_the_layout(tmp_path):
  mixed = make(tmp_path / "mixed", "a.mp4", "b.jpg")
  with pytest.raises(
    errors.InputError, match=r"1 videos and 1 images.*--layout"
  ):
    entries(mixed)
  assert names(mixed, "videos") == [("a", "a", "")]
  assert names(mixed, "flat") == [("b", "b", "00000")]
  by_name = make(tmp_path / "by_name", "anna/1.jpg")
  with pytest.raises(errors.InputError, match=r"found anna/1\.jpg.*--layout"):
    entries(by_name)


def test_single_files(tmp_path):
  make(tmp_path, "a.mp4", "b.jpg", "c.txt")
  assert names(str(tmp_path / "a.mp4")) == [("a", "a", "")]
  assert names(str(tmp_path / "b.jpg")) == [("b", "b", "00000")]
  with pytest.raises(errors.InputError, match="single file"):
    entries(str(tmp_path / "c.txt"))
  with pytest.raises(errors.InputError, match="single file"):
    entries(str(tmp_path / "a.mp4"), "flat")


def test_nothing_there(tmp_path):
  with pytest.raises(errors.InputError, match="no such file or folder"):
    entries(str(tmp_path / "none"))
  with pytest.raises(errors.InputError, match=r"no videos.*no images"):
    entries(str(tmp_path))
  make(tmp_path, "a.jpg")
  with pytest.raises(errors.InputError, match="holds no videos"):
    entries(str(tmp_path), "videos")


def test_several_sources_keep_files_of_one_name_apart(tmp_path):
  one = make(tmp_path / "one", "1.jpg", "2.jpg")
  two = make(tmp_path / "two", "2.jpg", "3.jpg")
  units = sources.collect([sources.Source(one), sources.Source(two)])
  got = [entry.person for unit in units for entry in unit.entries]
  assert got == ["1", "one/2", "two/2", "3"]


def test_the_same_track_twice_is_an_error(tmp_path):
  one = make(tmp_path / "a" / "x", "p/v/1/f.jpg")
  two = make(tmp_path / "b" / "x", "p/v/1/f.jpg")
  with pytest.raises(errors.InputError, match="already in"):
    sources.collect([sources.Source(one), sources.Source(two)])


def test_people_of_several_frame_folders_are_the_same(tmp_path):
  one = make(tmp_path / "a", "p/v/1/f.jpg")
  two = make(tmp_path / "b", "p/w/1/f.jpg")
  units = sources.collect([sources.Source(one), sources.Source(two)])
  assert {unit.entries[0].person for unit in units} == {"p"}


def test_key_follows_names_and_sizes(tmp_path):
  def key():
    return sources.collect([sources.Source(root)])[0].key()

  root = make(tmp_path, "p/v/1/f1.jpg")
  first = key()
  assert key() == first
  make(tmp_path, "p/v/1/f1.jpg", data=b"longer")
  second = key()
  make(tmp_path, "p/v/1/f2.jpg")
  assert len({first, second, key()}) == 3


def test_links_are_followed_once(tmp_path):
  make(tmp_path, "real/v/1/f.jpg")
  os.symlink(tmp_path, tmp_path / "real" / "v" / "loop")
  os.makedirs(tmp_path / "root")
  os.symlink(tmp_path / "real", tmp_path / "root" / "p")
  got = names(str(tmp_path / "root"), "frames")
  assert ("p", "v", "1") in got
  assert len(got) < 4


def test_names_that_are_no_utf8_are_escaped(tmp_path):
  try:
    open(os.fsencode(str(tmp_path)) + b"/\xff.jpg", "wb").close()
  except OSError:
    pytest.skip("the file system takes UTF-8 only")
  assert names(str(tmp_path)) == [("\\xff", "\\xff", "00000")]


def test_natural_order():
  got = sorted(
    ["f10", "f9", "f", "10", "9", "a2b3", "a2b12"], key=sources.natural_key
  )
  assert got == ["9", "10", "a2b3", "a2b12", "f", "f9", "f10"]


def test_synthetic_blocks():
  units = sources.collect([sources.Source("synthetic")], 3, 4)
  assert [len(unit.entries) for unit in units] == [8, 4]
  numbers = [entry.numbers for unit in units for entry in unit.entries]
  assert numbers == [(p, t) for p in range(3) for t in range(4)]
  with pytest.raises(errors.InputError, match="at least one person"):
    sources.collect([sources.Source("synthetic")], 0, 4)


def test_synthetic_sources_by_name(tmp_path, monkeypatch):
  npz = tmp_path / "heads.npz"
  npz.write_bytes(b"any")
  [plain] = sources.collect([sources.Source("synthetic")], 2, 1)
  [fixed] = sources.collect([sources.Source("synthetic:benchmark")], 2, 1)
  [ict] = sources.collect([sources.Source(f"synthetic:ict={npz}")], 2, 1)
  assert plain.entries == fixed.entries
  assert {unit.kind for unit in (plain, fixed, ict)} == {"synthetic"}
  assert [entry.path for entry in ict.entries] == [str(npz)] * 2
  assert [entry.path for entry in plain.entries] == ["", ""]
  # Heads of another content are other work; both kinds go into one dataset.
  npz.write_bytes(b"other")
  [other] = sources.collect([sources.Source(f"synthetic:ict={npz}")], 2, 1)
  assert other.key() != ict.key()
  both = [sources.Source("synthetic"), sources.Source(f"synthetic:ict={npz}")]
  assert len(sources.collect(both, 2, 1)) == 2
  with pytest.raises(errors.InputError, match="is already in synthetic"):
    sources.collect([sources.Source("synthetic")] * 2, 2, 1)


@pytest.mark.parametrize("layout", ["flat", "frames", "photos", "videos"])
def test_other_contents_of_equal_size_are_another_unit(tmp_path, layout):
  name = "p/v/1/a.mp4" if layout == "videos" else "p/v/1/a.bmp"
  keys = []
  for data in (b"x" * 99, b"y" * 99, b"x" * 99):
    root = make(tmp_path, name, data=data)
    os.utime(tmp_path / name, ns=(1, 1))
    keys += [x.key() for x in sources.collect([sources.Source(root, layout)])]
  assert keys[0] == keys[2] != keys[1]
