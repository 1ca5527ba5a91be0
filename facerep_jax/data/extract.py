"""Reads one unit of work and cuts the face tracks out of it."""

import dataclasses
import functools
import math
from collections.abc import Iterator

import numpy as np

from facerep_jax import errors, setting_ranges
from facerep_jax.data import sources, track_people, unit_report
from facerep_jax.detection import crop, detect, face_look, face_tracker
from facerep_jax.files import images
from facerep_jax.synthetic import generator
from facerep_jax.tracks import chunks, schema
from facerep_jax.video import video_file

# Faces are looked for at least this often, however few frames are kept: links
# between frames need the face to have moved by less than its size.
MIN_DETECT_FPS = 5.0
MIN_KEPT = 2  # Frames; learning compares frames of a track.
# Changes with what the same files give: what was made before is not mixed in.
READING = 2


@dataclasses.dataclass(frozen=True)
class Settings:
  """What shapes the records, apart from the sources.

  Attributes:
    size_px: Side of the stored frames.
    fps: Frames kept per second of video.
    chunk: Most frames a record.
    quality: Of JPEG encoding, 1 to 100.
    detector: Model file, None for OpenCV's cascades.
    find_faces: Find and crop the face in frames and images too, which
      otherwise count as cropped; photos never do.
    seed: Of synthetic tracks.
    num_people: Of a synthetic source.
    tracks_per_person: Of a synthetic source.
    num_frames: Of a synthetic track.
    pose_scale: Factor of yaw, pitch and roll of synthetic heads, 0 to 1.
    expressions: How many a synthetic track shows; 0: one or two.
    restyle: Draw hair style and glasses anew for each synthetic track.
    maps: Store depth and mask of synthetic tracks, too.
  """

  size_px: int = 256
  fps: float = 6.0
  chunk: int = 16
  quality: int = 95
  detector: str | None = None
  find_faces: bool = False
  seed: int = 0
  num_people: int = 16
  tracks_per_person: int = 4
  num_frames: int = 16
  pose_scale: float = generator.Settings.pose_scale
  expressions: int = generator.Settings.expressions
  restyle: bool = False
  maps: bool = False

  def __post_init__(self):
    setting_ranges.check(vars(self), setting_ranges.TRACKS, "tracks: ")
    if not self.expressions <= self.num_frames:
      raise errors.InputError(
        "expressions of synthetic tracks: expected 0 (one or two) up to the "
        f"number of frames, {self.num_frames}, got {self.expressions}."
      )


def extract(
  unit: sources.Unit, settings: Settings, report: unit_report.Report
) -> Iterator[schema.Track]:
  """Cuts the tracks out of a unit.

  Args:
    unit: What to read.
    settings: How.
    report: Filled in on the way.

  Yields:
    Chunks of tracks in a fixed order; those of one track in order of time.

  Raises:
    InputError: A detector is needed and not to be had. Damaged files raise
      nothing: they are in the report.
  """
  for entry in unit.entries:
    if unit.kind == "videos":
      yield from _video(entry, settings, report)
    elif unit.kind == "synthetic":
      yield from _synthetic(entry, settings, report)
    else:
      yield from _pictures(unit.kind, entry, settings, report)
  if not report.problem and not report.num_tracks:
    report.problem = "no track found"


def check_tools(units: list[sources.Unit], settings: Settings) -> None:
  """Checks that what the units need is installed, before work starts.

  Raises:
    InputError: No video reader, no detector, or a model that cannot be read.
  """
  kinds = {unit.kind for unit in units}
  if "videos" in kinds:
    video_file.default_reader()
  if any(_finds_faces(kind, settings) for kind in kinds):
    _detector(settings.detector)


def _synthetic(entry, settings, report):
  """Yields the chunks of a track that is drawn."""
  track = generator.make_track(
    generator.Settings(
      seed=settings.seed,
      num_people=settings.num_people,
      tracks_per_person=settings.tracks_per_person,
      num_frames=settings.num_frames,
      size_px=settings.size_px,
      pose_scale=settings.pose_scale,
      expressions=settings.expressions,
      heads=entry.path,
      restyle=settings.restyle,
      maps=settings.maps,
    ),
    *entry.numbers,
  )
  count = len(track.frames)
  report.num_read += count
  report.num_decoded += count
  report.num_kept += count
  report.num_stored += count
  report.num_tracks += 1
  yield from chunks.split_track(track, settings.chunk)


@functools.lru_cache(maxsize=1)
def _detector(model):
  return detect.make_detector(model)


def _finds_faces(kind, settings):
  if kind in ("videos", sources.PHOTOS):
    return True
  return settings.find_faces and kind != sources.SYNTHETIC


def _pictures(kind, entry, settings, report):
  """Yields the chunks of a folder of frames or of a single image."""
  try:
    is_single = kind in sources.SINGLE
    paths = [entry.path] if is_single else sources.list_images(entry.path)
  except OSError as error:
    report.problem = f"{entry.path}: cannot be listed ({error.strerror})."
    return
  frames, index, faces = [], [], []
  for number, path in enumerate(paths):
    report.num_read += 1
    try:
      data = images.read_file(path)
      decoded = images.decode(data, path)
    except images.ImageError as error:
      report.skip(error.reason, path)
      continue
    report.num_decoded += 1
    report.num_kept += 1
    for text in decoded.notes:
      report.note(text)
    if _finds_faces(kind, settings):
      face = _main_face(decoded.pixels, settings)
      if face is None:
        report.skip("no face", path)
        continue
      report.num_detected += 1
      faces.append(face)
      frames.append(_cut_out(decoded.pixels, face[:4], settings, report))
    else:
      frames.append(_as_it_is(data, decoded, settings, report))
    index.append(number)
  if not frames:
    return
  report.num_tracks += 1
  report.num_stored += len(frames)
  track = schema.Track(
    entry.person,
    entry.video,
    entry.track,
    0,
    frames,
    np.array(index, np.int64),
    _labels(faces),
  )
  yield from chunks.split_track(track, settings.chunk)


def _labels(faces):
  """Returns the labels of frames in which these faces were found."""
  if not faces:
    return {}
  faces = np.array(faces)
  labels = {"detected": np.ones(len(faces), int), "box_px": faces[:, :4]}
  if faces.shape[1] > 5:
    labels["frontal"] = faces[:, 5].astype(np.int64)
  return labels


def _main_face(pixels, settings):
  faces = _detector(settings.detector)(pixels)
  return crop.main_face(faces, pixels.shape[1], pixels.shape[0])


def _as_it_is(data, decoded, settings, report):
  """Returns the frame to store, with its own bytes where they fit."""
  height, width = decoded.pixels.shape[:2]
  if height == width == settings.size_px:
    if decoded.is_plain:
      return data
    return images.encode_jpeg(decoded.pixels, settings.quality)
  report.num_squared += height != width
  report.num_resized += min(height, width) != settings.size_px
  report.num_enlarged += min(height, width) < settings.size_px
  square = crop.whole_image(decoded.pixels, settings.size_px)
  return images.encode_jpeg(square, settings.quality)


def _cut_out(pixels, box_px, settings, report):
  """Returns the encoded crop of a face."""
  x0, y0, x1, y1 = box_px
  report.num_resized += 1
  report.num_enlarged += bool(
    crop.SCALE * max(x1 - x0, y1 - y0) < settings.size_px
  )
  square = crop.crop_box(pixels, box_px, settings.size_px)
  return images.encode_jpeg(square, settings.quality)


@dataclasses.dataclass
class _Looked:
  """The frames of a video in which faces were looked for.

  `changes` has a row for every decoded frame but the first.
  """

  index: list[int] = dataclasses.field(default_factory=list)
  times_s: list[float] = dataclasses.field(default_factory=list)
  is_kept: list[bool] = dataclasses.field(default_factory=list)
  faces: list[np.ndarray] = dataclasses.field(default_factory=list)
  looks: face_look.Looks = dataclasses.field(default_factory=face_look.Looks)
  changes: list[np.ndarray] = dataclasses.field(default_factory=list)

  def cuts(self) -> np.ndarray:
    """Returns [N] bool, true where a cut lies before a frame looked at."""
    cuts = 1 + np.flatnonzero(face_tracker.find_cuts(np.array(self.changes)))
    before = np.searchsorted(cuts, self.index, side="right")
    return np.diff(before, prepend=0) > 0


def _video(entry, settings, report):
  """Yields the chunks of the tracks of a video.

  The video is read twice, so that no more than a chunk of each track is held:
  boxes are smoothed over the frames to come, too.
  """
  try:
    looked = _look(entry.path, settings, report)
  except video_file.UnreadableError as error:
    report.problem = str(error)
    return
  if not looked.index:
    report.problem = "no frame decodes"
    return
  if not any(len(faces) for faces in looked.faces):
    report.problem = "no face found"
    return
  found = track_people.find(
    np.array(looked.times_s), looked.faces, looked.cuts(), looked.looks
  )
  report.num_divided = found.num_divided
  is_kept = np.array(looked.is_kept)
  tracks, people = [], []
  for track, person in zip(found.tracks, found.people):
    kept = is_kept[track.index]
    if kept.sum() >= MIN_KEPT:
      frame_index = np.array(looked.index, np.int64)[track.index]
      tracks.append(dataclasses.replace(track, index=frame_index).take(kept))
      people.append(track_people.name(entry.person, entry.video, person))
  _count_followed(tracks, report)
  yield from _cut_tracks(entry, tracks, people, settings, report)


def _look(path, settings, report):
  """Reads a video once, finding faces and changes of scene."""
  find = _detector(settings.detector)
  often = math.ceil(MIN_DETECT_FPS / settings.fps)
  keep, look = (
    video_file.Clock(settings.fps),
    video_file.Clock(settings.fps * often),
  )
  looked = _Looked()
  before, last_s, longest_s = None, 0.0, 0.0
  opened = video_file.Video(path)
  for frame in opened:
    report.num_decoded += 1
    longest_s = max(longest_s, frame.time_s - last_s)
    last_s = frame.time_s
    now = frame.size_px, frame.thumbnail()
    if before is not None:
      looked.changes.append(_change(before, now))
    before = now
    is_kept, is_looked = keep.is_due(frame.time_s), look.is_due(frame.time_s)
    if not (is_kept or is_looked):
      continue
    looked.index.append(frame.index)
    looked.times_s.append(frame.time_s)
    looked.is_kept.append(is_kept)
    image = frame.image()
    looked.faces.append(find(image))
    looked.looks.add(image, looked.faces[-1])
  report.num_cuts = int(face_tracker.find_cuts(np.array(looked.changes)).sum())
  report.num_kept = sum(looked.is_kept)
  for reason, count in opened.skipped.items():
    report.skip(reason, path, count)
  report.num_read = report.num_decoded + sum(opened.skipped.values())
  for text, count in opened.notes.items():
    report.note(text, count)
  report.source_fps = opened.facts.rate_fps
  report.start_s, report.duration_s = opened.start_s, last_s
  report.longest_step_s = longest_s
  return looked


def _change(before, now):
  if before[0] != now[0]:  # Another size of frame: places do not compare.
    return np.ones(3)
  return face_tracker.frame_change(before[1], now[1])


def _count_followed(tracks, report):
  followed, detected = set(), set()
  for track in tracks:
    followed.update(track.index.tolist())
    detected.update(track.index[track.detected == 1].tolist())
  report.num_tracks = len(tracks)
  report.num_detected = len(detected)
  report.num_interpolated = len(followed - detected)


def _cut_tracks(entry, tracks, people, settings, report):
  """Reads a video again and yields the chunks of its tracks."""
  places = {}
  for number, track in enumerate(tracks):
    for position, frame in enumerate(track.index.tolist()):
      places.setdefault(frame, []).append((number, position))
  ends = [
    {b: (i, a) for i, (a, b) in enumerate(bounds)}
    for bounds in (
      chunks.chunk_bounds(len(t.index), settings.chunk) for t in tracks
    )
  ]
  waiting = [[] for _ in tracks]
  for frame in video_file.Video(entry.path):
    if frame.index not in places:
      continue
    pixels = frame.image()
    for number, position in places[frame.index]:
      track = tracks[number]
      cut = _cut_out(pixels, track.box_px[position], settings, report)
      waiting[number].append((cut, frame.time_s))
      report.num_stored += 1
      if position + 1 in ends[number]:
        chunk, start = ends[number][position + 1]
        part = slice(start, position + 1)
        cuts, times_s = zip(*waiting[number])
        yield schema.Track(
          people[number],
          entry.video,
          f"{number:05d}",
          chunk,
          list(cuts),
          track.index[part],
          track.take(part).labels() | {"time_s": np.array(times_s)},
        )
        waiting[number] = []
