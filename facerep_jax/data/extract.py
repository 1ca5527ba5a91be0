"""Reads one unit of work and cuts the face tracks out of it."""

import dataclasses
import functools
from collections.abc import Iterator

import numpy as np

from facerep_jax import errors, setting_ranges
from facerep_jax.data import sources, track_people, unit_report, video_faces
from facerep_jax.detection import crop, detect
from facerep_jax.files import images
from facerep_jax.synthetic import generator
from facerep_jax.tracks import chunks, schema
from facerep_jax.video import video_file

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
    detector: As `detect.make_detector` takes it.
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
    setting_ranges.check(vars(self), setting_ranges.TRACKS, "tracks: {}".format)
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


def with_detector(units: list[sources.Unit], settings: Settings) -> Settings:
  """Names the detector that is used for want of another, where one is used.

  So that all workers use one, and what is made says which.
  """
  kinds = {unit.kind for unit in units}
  is_asked = any(_finds_faces(kind, settings) for kind in kinds)
  if settings.detector is not None or not is_asked:
    return settings
  return dataclasses.replace(settings, detector=detect.default_name())


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


def _video(entry, settings, report):
  """Yields the chunks of the tracks of a video; it is read twice."""
  find = _detector(settings.detector)
  choice = video_faces.Choice(fps=settings.fps)
  try:
    (looked,) = video_faces.look(entry.path, find, choice, report)
  except video_file.UnreadableError as error:
    report.problem = str(error)
    return
  if not looked.index:
    report.problem = "no frame decodes"
    return
  if not any(len(faces) for faces in looked.faces):
    report.problem = "no face found"
    return
  found = video_faces.follow(looked, MIN_KEPT)
  report.num_divided = found.num_divided
  people = [
    track_people.name(entry.person, entry.video, person)
    for person in found.people
  ]
  _count_followed(found.tracks, report)
  yield from _cut_tracks(entry, found.tracks, people, settings, report)


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
  ends = [
    {b: (i, a) for i, (a, b) in enumerate(bounds)}
    for bounds in (
      chunks.chunk_bounds(len(t.index), settings.chunk) for t in tracks
    )
  ]
  waiting = [[] for _ in tracks]
  frames = iter(video_file.Video(entry.path))
  for frame, pixels, number, position in video_faces.read_again(frames, tracks):
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
