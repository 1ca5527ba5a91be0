"""Turns paths into units of work: a video, a folder of tracks, a block."""

import collections
import dataclasses
import hashlib
import itertools
import os
import re
from collections.abc import Callable, Iterable

from facerep_jax import errors
from facerep_jax.data import (
  file_marks,
  layouts,
  listing,
  name_pattern,
  source_checks,
)
from facerep_jax.files import images
from facerep_jax.synthetic import generator, heads
from facerep_jax.video import video_file

SYNTHETIC = "synthetic"
BENCHMARK = "synthetic:benchmark"
_WORDS = {f"{SYNTHETIC}:{word}": word for word in heads.WORDS}
_ICT_PATH = "synthetic:ict="  # Followed by the path of the heads.
PHOTOS = "photos"
LAYOUTS = ("auto", "videos", "frames", "flat", PHOTOS, SYNTHETIC)
MARK = "#"  # Before the number of a second person in a video.
SINGLE = ("flat", PHOTOS)  # Each image is a track of one frame.
_FLAT_BLOCK = 256  # Single images a unit.
_SYNTHETIC_BLOCK = 8  # Tracks a unit.


@dataclasses.dataclass(frozen=True)
class Entry:
  """One video, one folder of frames, one image, or one synthetic track.

  Attributes:
    person: Name of the person.
    video: Name of the video, unique within the person.
    track: Name of the track, unique within the video; "" for a video, whose
      tracks are yet to be found.
    path: File or folder; for a synthetic track its heads, as in module
      `synthetic.heads`.
    numbers: (person, track) of a synthetic track.
    mark: Changes when the files change, as in module `file_marks`.
  """

  person: str
  video: str
  track: str
  path: str = ""
  numbers: tuple[int, int] = (0, 0)
  mark: str = ""


@dataclasses.dataclass(frozen=True)
class Unit:
  """What one worker does at a time.

  Attributes:
    kind: "videos", "frames", "flat", "photos" or "synthetic".
    source: The path that the user gave.
    entries: What to read, in order.
    naming: How its people were named, for the user to read.
  """

  kind: str
  source: str
  entries: tuple[Entry, ...]
  naming: str = dataclasses.field(default="", repr=False)  # Not in `key`.

  def key(self) -> str:
    """Names the unit by its content, for the file of its finished part."""
    return hashlib.sha256(repr(self).encode("utf-8")).hexdigest()[:24]


@dataclasses.dataclass(frozen=True)
class Source:
  """A path and how to read it.

  Attributes:
    path: File or folder, or "synthetic", "synthetic:benchmark" (the tracks
      alone; `benchmark_set` fixes the rest), "synthetic:ict",
      "synthetic:mixed" or "synthetic:ict=PATH".
    layout: One of `LAYOUTS`; "auto" looks at the files.
    person: Regular expression whose group 1, searched in the path relative to
      the source, names the person; None for the layout's own rule.
  """

  path: str
  layout: str = "auto"
  person: str | None = None


def collect(
  sources: list[Source],
  num_people: int = 0,
  tracks_per_person: int = 0,
  *,
  on_passed_over: Callable[[str, dict[str, int]], None] = lambda *_: None,
) -> list[Unit]:
  """Lists the work that sources hold.

  Args:
    sources: Where to look.
    num_people: People of a synthetic source.
    tracks_per_person: Tracks of each of them.
    on_passed_over: Called for each folder with its path, and how many files of
      each kind in it are not read, as in module `listing`.

  Returns:
    Units in a fixed order: sources as given, names in natural order.

  Raises:
    InputError: A source does not exist, holds nothing, does not fit its
      layout, or two things have the same name.
  """
  per_source, rules = [], []
  for source in sources:
    kind_of_head = _heads(source)
    if kind_of_head is not None:
      kind = SYNTHETIC
      entries = _synthetic(num_people, tracks_per_person, kind_of_head)
    else:
      kind, entries = _read_source(source, on_passed_over)
    rules.append(layouts.rule(kind, [x.video for x in entries], source.person))
    per_source.append((kind, source, entries))
  per_source = _separate(per_source)
  source_checks.check_unique([(x.path, rows) for _, x, rows in per_source])
  clips = [rows for kind, _, rows in per_source if kind == "videos"]
  source_checks.check_marks(list(itertools.chain(*clips)), MARK)
  drawn = [x.path for kind, x, _ in per_source if kind == SYNTHETIC]
  source_checks.check_mixed(drawn, SYNTHETIC)
  units = []
  for (kind, source, entries), rule in zip(per_source, rules):
    for group in _groups(kind, entries):
      units.append(Unit(kind, source.path, tuple(group), rule))
  return units


def natural_key(text: str) -> list:
  """Returns a sort key that puts frame2 before frame10."""
  parts = re.split(r"(\d+)", text)
  return [(int(x), x) if i % 2 else (0, x) for i, x in enumerate(parts)]


def list_images(folder: str) -> list[str]:
  """Lists the images of a folder, not of folders below, in natural order."""
  names = sorted(listing.names(folder), key=natural_key)
  return [os.path.join(folder, x) for x in names]


def look_like_frames(names: Iterable[str]) -> bool:
  """Says whether images lie as frames of videos do: PERSON/VIDEO/TRACK/NAME.

  Args:
    names: Their paths, relative to the source, with slashes.
  """
  return {name.count("/") for name in names} == {3}


def _heads(source):
  """Returns the heads of a synthetic source; None: not synthetic."""
  text = source.path
  if text.startswith(_ICT_PATH) and len(text) > len(_ICT_PATH):
    path = text.removeprefix(_ICT_PATH)
    # What is said to be a path is one, whatever it is called.
    return os.path.join(".", path) if path in heads.WORDS else path
  if text in _WORDS:
    return _WORDS[text]
  if text in (SYNTHETIC, BENCHMARK):
    return heads.BUILT_IN
  if text.startswith(SYNTHETIC + ":"):
    raise errors.InputError(
      f"{text}: no such synthetic source; expected {SYNTHETIC}, {BENCHMARK}, "
      f"{', '.join(_WORDS)} or {_ICT_PATH}PATH."
    )
  return heads.BUILT_IN if source.layout == SYNTHETIC else None


def synthetic_source(kind_of_head: str) -> Source:
  """Returns the source that draws heads, as in module `synthetic.heads`."""
  if kind_of_head == heads.BUILT_IN:
    return Source(SYNTHETIC)
  if kind_of_head in heads.WORDS:
    return Source(f"{SYNTHETIC}:{kind_of_head}")
  return Source(_ICT_PATH + kind_of_head)


def _synthetic(num_people, tracks_per_person, kind_of_head):
  if num_people < 1 or tracks_per_person < 1:
    raise errors.InputError(
      f"synthetic source: expected at least one person and one track each, got "
      f"{num_people} and {tracks_per_person}."
    )
  mark = f"generator {generator.VERSION}"
  if kind_of_head != heads.BUILT_IN:
    mark += f", {heads.fingerprint(kind_of_head)}"
  named = {heads.BUILT_IN: "synthetic", heads.MIXED: "mixed"}
  # The generator names the tracks itself.
  return [
    Entry(
      f"{named.get(kind_of_head, 'ict')} {person}",
      "",
      str(track),
      kind_of_head,
      numbers=(person, track),
      mark=mark,
    )
    for person in range(num_people)
    for track in range(tracks_per_person)
  ]


def _groups(kind, entries):
  """Splits entries into units of work."""
  if kind == "frames":
    by_video = collections.defaultdict(list)
    for entry in entries:
      by_video[entry.person, entry.video].append(entry)
    return list(by_video.values())
  step = {"videos": 1, SYNTHETIC: _SYNTHETIC_BLOCK}.get(kind, _FLAT_BLOCK)
  return [entries[i : i + step] for i in range(0, len(entries), step)]


def _read_source(source, on_passed_over):
  """Returns the layout found and the entries of a path."""
  path = source.path
  if not os.path.exists(path):
    raise errors.InputError(
      f"{path}: no such file or folder; expected a video, a folder of videos "
      'or frames, or "synthetic".'
    )
  if os.path.isfile(path):
    return _read_single(source)
  held = listing.find(path)
  layout = source.layout
  if layout == "auto":
    layout = _guess(path, held)
  is_video = layout == "videos"
  names = held.videos if is_video else held.images
  others = held.without_images() if is_video else held.without_videos()
  if not names:
    what, known = ("videos", video_file) if is_video else ("images", images)
    raise errors.InputError(
      f"{path}: holds no {what} (looked for {' '.join(known.EXTENSIONS)}); "
      f"{listing.say_empty(others)}."
    )
  if others:
    on_passed_over(path, others)
  found = _file_marks(path, names)
  if layout == "frames":
    return layout, _frame_folders(source, found)
  if layout == PHOTOS and not source.person:
    return layout, _by_folder(source, found)
  if layout == "videos" and not source.person:
    return layout, _by_layout(source, found)
  return layout, _by_file(source, found)


def _read_single(source):
  name = os.path.basename(source.path)
  is_video = listing.is_video(name)
  layout = "videos" if is_video else "flat"
  if source.layout == PHOTOS and not is_video:
    layout = PHOTOS
  known = is_video or listing.is_image(name)
  if source.layout not in ("auto", layout) or not known:
    raise errors.InputError(
      f"{source.path}: a single file must be a video "
      f"({' '.join(video_file.EXTENSIONS)}) or an image "
      f"({' '.join(images.EXTENSIONS)}), got --layout={source.layout}."
    )
  files = {name: file_marks.mark(source.path)}
  root = dataclasses.replace(source, path=os.path.dirname(source.path) or ".")
  return layout, _by_file(root, files)


def _guess(path, held):
  """Returns the layout that the names of files speak for."""
  if not held.videos and not held.images:
    raise errors.InputError(
      f"{path}: holds no videos ({' '.join(video_file.EXTENSIONS)}) and no "
      f"images ({' '.join(images.EXTENSIONS)}); "
      f"{listing.say_empty(held.others)}."
    )
  if held.videos and held.images:
    raise errors.InputError(
      f"{path}: holds {len(held.videos)} videos and {len(held.images)} images; "
      "say which to read: --layout=videos, --layout=frames, --layout=flat or "
      "--layout=photos."
    )
  if held.videos:
    return "videos"
  if look_like_frames(held.images):
    return "frames"
  if not any("/" in name for name in held.images):
    return "flat"
  first = min(held.images, key=natural_key)
  raise errors.InputError(
    f"{path}: neither PERSON/VIDEO/TRACK/*.jpg nor one flat folder of images "
    f"(found {first}); say --layout=frames (each folder is a track), "
    "--layout=flat (each image stands alone) or --layout=photos (as flat, with "
    "the face to be found)."
  )


def _file_marks(root, names) -> dict[str, str]:
  """Returns marks of files by name, natural order."""
  names = sorted(names, key=natural_key)
  return {name: file_marks.mark(os.path.join(root, name)) for name in names}


def _by_file(source, files) -> list[Entry]:
  """Returns an entry a file; by default the file's name is the person."""
  if source.person:
    name_pattern.check(source.person, list(files))
  stems = {name: os.path.splitext(name)[0] for name in files}
  count = collections.Counter(stems.values())
  entries = []
  for name, mark in files.items():
    title = _text(stems[name] if count[stems[name]] == 1 else name)
    person = _person(source, name) if source.person else title
    path = os.path.join(source.path, name)
    track = "00000" if listing.is_image(name) else ""
    entries.append(Entry(person, title, track, path, mark=mark))
  return entries


def _by_folder(source, files) -> list[Entry]:
  """Returns an entry a photo; its person is the folder that it lies in.

  That is the first folder below those that all photos share, so that what
  lies together stays in one split; a photo beside such folders is its own.
  """
  shared = os.path.commonpath([os.path.dirname(name) for name in files])
  entries = []
  for name, entry in zip(files, _by_file(source, files)):
    folder, _, file = os.path.relpath(name, shared or ".").partition(os.sep)
    person = _text(folder) if file else entry.person
    entries.append(dataclasses.replace(entry, person=person))
  return entries


def _by_layout(source, files) -> list[Entry]:
  """Returns an entry a video, of the person that its folders name."""
  people, _ = layouts.of_videos(list(files))
  return [
    dataclasses.replace(entry, person=_text(person) if person else entry.person)
    for person, entry in zip(people, _by_file(source, files))
  ]


def _frame_folders(source, pictures) -> list[Entry]:
  """Returns an entry a folder, of person, video, track; fewer repeat a name."""
  hashes = collections.defaultdict(hashlib.sha256)
  for name, mark in pictures.items():
    folder, _, file = name.rpartition("/")
    hashes[folder].update(os.fsencode(f"{file} {mark}\n"))
  if source.person:
    name_pattern.check(source.person, list(hashes))
  base = os.path.basename(os.path.abspath(source.path))
  entries = []
  for folder in hashes:
    parts = _text(folder).split("/") if folder else [base]
    person, track = parts[0], parts[-1]
    middle = "/".join(parts[1:-1]) or track
    if source.person:
      person = _person(source, folder)
    path = os.path.join(source.path, folder)
    mark = hashes[folder].hexdigest()[:24]
    entries.append(Entry(person, middle, track, path, mark=mark))
  return entries


def _person(source, name):
  match = re.search(source.person, name)
  if match is None or not match.re.groups or not match.group(1):
    raise errors.InputError(
      f"--person={source.person}: group 1 must match in {name} (in "
      f"{source.path}), to name its person."
    )
  return _text(match.group(1))


def _text(name):
  """Makes a file name fit for UTF-8."""
  return os.fsencode(name).decode("utf-8", "backslashreplace")


def _separate(per_source):
  """Puts the source's name before file names that several sources share."""
  by_file = [kind in ("videos", *SINGLE) for kind, _, _ in per_source]
  count = collections.Counter(
    entry.video
    for (_, _, entries), is_by_file in zip(per_source, by_file)
    if is_by_file
    for entry in entries
  )
  out = []
  for (kind, source, entries), is_by_file in zip(per_source, by_file):
    base = _text(os.path.basename(os.path.abspath(source.path)))
    if is_by_file:
      entries = [
        _prefixed(x, base) if count[x.video] > 1 else x for x in entries
      ]
    out.append((kind, source, entries))
  return out


def _prefixed(entry, base):
  title = f"{base}/{entry.video}"
  person = title if entry.person == entry.video else entry.person
  return dataclasses.replace(entry, person=person, video=title)
