"""Face tracks with labels: what `make_tracks` writes, synthetic or not."""

import logging
import pathlib

import numpy as np

from facerep_jax import errors
from facerep_jax.data.labelled import base
from facerep_jax.files import decode
from facerep_jax.synthetic import actions
from facerep_jax.tracks import splits
from facerep_jax.tracks import track_source as stored

_log = logging.getLogger(__name__)
_CLASSES = {"expression": tuple(actions.EXPRESSIONS)}


def load(
  path: str,
  *,
  frames: int = 0,
  memory: bool = False,
  cut: str = "track",
) -> dict[str, base.Labelled]:
  """Opens a folder of tracks as single frames.

  Args:
    path: What `make_tracks` wrote.
    frames: How many frames of a chunk to take, evenly spread; 0 for all, and
      all of a chunk with fewer.
    memory: Keep the encoded frames in memory; else each is read when asked
      for, with all of its chunk.
    cut: As for `Labelled`.

  Returns:
    The parts there are of train, validation and test, under the folder's name.
    Labels are those that all records of a part have, and `track` [N] str.

  Raises:
    InputError: The folder holds no tracks, or a record is damaged.
  """
  if frames < 0:
    raise errors.InputError(
      f"tracks: frames is {frames}, expected 0 (all) or more."
    )
  folder = pathlib.Path(path)
  found = [
    split
    for split in splits.NAMES
    if any(folder.glob(f"*-{split}.tfrecord-*-of-*"))
  ]
  # Without any, TrackSource says what is wrong with the folder.
  return {
    split: _part(
      folder.resolve().name,
      stored.TrackSource(folder, split),
      split,
      frames,
      memory,
      cut,
    )
    for split in found or ("train",)
  }


def _part(name, source, split, frames, memory, cut):
  names, group, where_from, place, kept = [], [], [], [], []
  columns = None
  for record in range(len(source)):
    track = source.read(record)
    chosen = _spread(len(track.frames), frames)
    where = f"{track.person}/{track.video}/{track.track}"
    names += [f"{where} frame {track.frame_index[i]}" for i in chosen]
    group += [track.person] * len(chosen)
    where_from += [where] * len(chosen)
    place += [(record, i) for i in chosen]
    if memory:
      kept += [track.frames[i] for i in chosen]
    if columns is None:
      columns = {name: [] for name in track.labels}
    for label in [label for label in columns if label not in track.labels]:
      _log.warning("%s: not all records have the label %s.", where, label)
      del columns[label]
    for label, values in columns.items():
      values.append(track.labels[label][chosen])

  def read(i):
    if memory:
      return decode.decode(kept[i], names[i])
    record, number = place[i]
    track = source.read(record, ())
    return decode.decode(track.frames[number], names[i])

  labels = {key: np.concatenate(values) for key, values in columns.items()}
  labels["track"] = np.array(where_from)
  return base.Labelled(
    name=name,
    split=split,
    names=tuple(names),
    labels=labels,
    group=np.array(group),
    classes={key: _CLASSES[key] for key in labels if key in _CLASSES},
    cut=cut,
    read=read,
  )


def _spread(count, wanted):
  """Returns the positions of `wanted` of `count` frames, evenly spread."""
  if not 0 < wanted < count:
    return np.arange(count)
  return (np.arange(wanted) * count + count // 2) // wanted
