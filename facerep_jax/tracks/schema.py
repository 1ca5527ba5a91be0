"""What one record holds: a chunk of a face track, with optional labels."""

import dataclasses
from collections.abc import Iterable

import numpy as np
from google.protobuf.message import DecodeError as _DecodeError
from tensorflow_datasets.proto import tf_example_pb2

from facerep_jax import errors
from facerep_jax.tracks import tfrecord

# Labels that a frame may carry: (dtype, shape of one frame's value). Stored
# flat, frame after frame, under the same name.
LABELS = {
  "detected": (np.int64, ()),  # 1: found by the detector; 0: interpolated.
  "box_px": (np.float32, (4,)),  # x0, y0, x1, y1 in the video's frame.
  "frontal": (np.int64, ()),  # 1: found as a nearly frontal face; 0: not so.
  "identity": (np.int64, ()),
  "yaw_rad": (np.float32, ()),
  "pitch_rad": (np.float32, ()),
  "roll_rad": (np.float32, ()),
  "landmarks_px": (np.float32, (68, 2)),  # x, y in the stored frame.
  "landmarks_visible": (np.int64, (68,)),
  "expression": (np.int64, ()),
  "expression_intensity": (np.float32, ()),
  "action_units": (np.float32, (20,)),
  "action_units_sided": (np.float32, (2, 20)),  # Of the left and right half.
  "light": (np.float32, (4,)),  # Direction x, y, z; ambient share.
  "focal_px": (np.float32, ()),  # Of the stored frame; goes with depth maps.
  "time_s": (np.float32, ()),  # Since the first frame of the video.
}

# Pictures that a frame may have besides itself: one channel of this
# dtype, PNG; `synthetic.depth` says what they hold.
MAPS = {"depth_png": np.uint16, "mask_png": np.uint8}

_LENGTH_DELIMITED = 2  # Wire type of protocol buffers.


@dataclasses.dataclass
class Track:
  """A chunk of one face track.

  Attributes:
    person: Name of the person; splits are by person.
    video: Name of the video, unique within the person.
    track: Name of the track, unique within the video.
    chunk: Number of this chunk within the track, from 0.
    frames: T encoded images (JPEG or PNG), RGB, all of one size.
    frame_index: [T] int64, number of each frame in its video, among those that
      decode; its time is the label `time_s`.
    labels: Arrays [T, ...] for names in `LABELS`.
    maps: T encoded images each for names in `MAPS`.
  """

  person: str
  video: str
  track: str
  chunk: int
  frames: list[bytes]
  frame_index: np.ndarray
  labels: dict[str, np.ndarray] = dataclasses.field(default_factory=dict)
  maps: dict[str, list[bytes]] = dataclasses.field(default_factory=dict)


def serialize(track: Track) -> bytes:
  """Encodes a track as a `tf.train.Example`.

  Args:
    track: What to encode.

  Returns:
    The bytes of one record; the same bytes for the same track.

  Raises:
    InputError: The track has no frames, a name that is not Unicode, or a label
      or map that does not fit it.
  """
  where = f"track {track.person}/{track.video}/{track.track}"
  count = len(track.frames)
  if not count:
    raise errors.InputError(f"{where}: has no frames.")
  example = tf_example_pb2.Example()
  feature = example.features.feature
  for name in ("person", "video", "track"):
    try:
      value = getattr(track, name).encode()
    except UnicodeEncodeError as error:
      raise errors.InputError(
        f"{where!a}: the name of the {name} is not UTF-8. Rename its folder."
      ) from error
    feature[name].bytes_list.value.append(value)
  feature["chunk"].int64_list.value.append(track.chunk)
  feature["frames"].bytes_list.value.extend(track.frames)
  index = np.asarray(track.frame_index, np.int64)
  if index.shape != (count,):
    raise errors.InputError(
      f"{where}: frame_index has shape {index.shape}, expected ({count},)."
    )
  feature["frame_index"].int64_list.value.extend(index.tolist())
  _add_labels(feature, track, where)
  for name, value in track.maps.items():
    if name not in MAPS or len(value) != count:
      raise errors.InputError(
        f"{where}: {len(value)} maps {name!r}, expected {count} each of "
        f"{', '.join(MAPS)}."
      )
    feature[name].bytes_list.value.extend(value)
  return example.SerializeToString(deterministic=True)


def _add_labels(feature, track, where):
  count = len(track.frames)
  for name, value in track.labels.items():
    if name not in LABELS:
      raise errors.InputError(
        f"{where}: unknown label {name!r}; known: {', '.join(LABELS)}."
      )
    dtype, shape = LABELS[name]
    value = np.asarray(value, dtype)
    if value.shape != (count, *shape):
      raise errors.InputError(
        f"{where}: label {name} has shape {value.shape}, expected "
        f"{(count, *shape)}."
      )
    if dtype == np.int64:
      feature[name].int64_list.value.extend(value.ravel().tolist())
    else:
      feature[name].float_list.value.extend(value.ravel().tolist())


def parse(
  record: bytes,
  labels: Iterable[str] = tuple(LABELS),
  maps: Iterable[str] = (),
) -> Track:
  """Decodes what `serialize` wrote; images stay encoded.

  Args:
    record: Bytes of one record.
    labels: Names of `LABELS` that are wanted; decoding all of them takes four
      times as long as the rest.
    maps: Names of `MAPS` that are wanted.

  Returns:
    The track; of the wanted labels and maps, those that the record holds.

  Raises:
    InputError: The record is no such Example, or its parts do not agree.
  """
  try:
    example = tf_example_pb2.Example.FromString(record)
  except _DecodeError as error:
    raise errors.InputError(f"not a tf.train.Example ({error}).") from error
  feature = example.features.feature
  frames = list(feature["frames"].bytes_list.value)
  if not frames:
    raise errors.InputError("holds no frames (feature 'frames' is empty).")
  try:
    names = [
      feature[name].bytes_list.value[0].decode()
      for name in ("person", "video", "track")
    ]
    chunk = feature["chunk"].int64_list.value[0]
  except (IndexError, UnicodeDecodeError) as error:
    raise errors.InputError(
      "lacks one of the features person, video, track, chunk."
    ) from error
  index = np.array(feature["frame_index"].int64_list.value, np.int64)
  if index.shape != (len(frames),):
    raise errors.InputError(
      f"frame_index has {index.size} entries for {len(frames)} frames."
    )
  found = {
    name: _parse_label(name, feature[name], len(frames))
    for name in labels
    if name in feature
  }
  pictures = {
    name: _parse_map(name, feature[name], len(frames))
    for name in maps
    if name in feature
  }
  return Track(*names, chunk, frames, index, found, pictures)


def frame_places(record: bytes) -> list[tuple[int, int]] | None:
  """Finds the frames of a record that is known to be sound.

  Args:
    record: What `serialize` wrote.

  Returns:
    Offset and length in bytes of each frame's image; None where the record is
    laid out in another way than `serialize` does.

  Source: the encoding of protocol buffers; `tf.train.Example`.
  """
  try:
    [(_, *features)] = _fields(record, 0, len(record))
    found = []
    for _, *entry in _fields(record, *features):
      (_, start, stop), (_, *value) = _fields(record, *entry)
      if record[start:stop] == b"frames":
        [(_, *values)] = _fields(record, *value)
        found.append([(a, b - a) for _, a, b in _fields(record, *values)])
  except (ValueError, IndexError):
    return None
  return found[0] if len(found) == 1 and found[0] else None


def _fields(record, start, stop):
  """Lists number, start and end of the fields of a message.

  Raises `ValueError` for numbers, which no message on the way to frames holds.
  """
  fields = []
  while start < stop:
    tag, start = _varint(record, start)
    if tag & 7 != _LENGTH_DELIMITED:
      raise ValueError("not a field with a length")
    length, start = _varint(record, start)
    fields.append((tag >> 3, start, start + length))
    start += length
  return fields


def _varint(record, at):
  """Decodes a number of 7 bits a byte; returns it and where it ends."""
  value, shift = 0, 0
  while (byte := record[at]) > 127:
    value |= (byte & 127) << shift
    at, shift = at + 1, shift + 7
  return value | byte << shift, at + 1


def parse_record(
  record: bytes,
  path: str,
  number: int,
  labels: Iterable[str] = tuple(LABELS),
  maps: Iterable[str] = (),
) -> Track:
  """Decodes a record of a shard; as `parse`, but says where it lies.

  Args:
    record: Its bytes.
    path: Of the shard.
    number: Of the record in it.
    labels: As for `parse`.
    maps: Likewise.

  Returns:
    The track.

  Raises:
    BadRecordError: It holds no track.
  """
  try:
    return parse(record, labels, maps)
  except errors.InputError as error:
    raise tfrecord.BadRecordError(
      f"{path}: record {number}: {error}"
    ) from error


def _parse_map(name, feature, count):
  pictures = list(feature.bytes_list.value)
  if len(pictures) != count:
    raise errors.InputError(
      f"map {name} has {len(pictures)} pictures for {count} frames."
    )
  return pictures


def _parse_label(name, feature, count):
  dtype, shape = LABELS[name]
  values = (
    feature.int64_list.value if dtype == np.int64 else feature.float_list.value
  )
  value = np.array(values, dtype)
  if value.size != count * int(np.prod(shape)):
    raise errors.InputError(
      f"label {name} has {value.size} numbers for {count} frames."
    )
  return value.reshape(count, *shape)
