"""Features of faces as a table: a row per face and frame."""

import contextlib
import dataclasses
import logging
import os
import sys
import tempfile
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from facerep_jax import cli, environment, errors
from facerep_jax.data import photos
from facerep_jax.files import table
from facerep_jax.inference import (
  api,
  face_rows,
  probe_columns,
  read_ahead,
  ready_probes,
  same_person,
)

_log = logging.getLogger(__name__)
BATCHES_AHEAD = 2  # Batches that wait for the network.
SAME_PERSON = 0.015  # Cosine distance; docs/tables.md has what it reaches.
IDENTITY = "identity"
# Joined of `identity` and `expression`, or of them and the mirror image.
_MADE_OF_OTHERS = (
  *("albedo_code", "depth_code", "fer", "verification", "identity_wccn"),
)
_WIDE = "spatial"
_COLUMNS = (
  table.Column("file", table.TEXT, "", "path below the folder that was given"),
  table.Column("frame", "int64", "", "number of the decoded frame, from 0"),
  table.Column("seconds", "float64", "s", "time since the first frame"),
  table.Column("track", "int64", "", "number of the track or face in its file"),
  table.Column("person", "int64", "", "number of the person, in all files"),
  table.Column("x0_px", "float32", "px", "left border of the face"),
  table.Column("y0_px", "float32", "px", "upper border of the face"),
  table.Column("x1_px", "float32", "px", "right border of the face"),
  table.Column("y1_px", "float32", "px", "lower border of the face"),
  table.Column("score", "float32", "", "of the detector, of its own kind"),
  table.Column("detected", "int8", "", "1: detected; 0: box interpolated"),
  table.Column(
    "yaw_deg", "float32", "degree", "positive: nose to the picture's left"
  ),
  table.Column("pitch_deg", "float32", "degree", "positive: nose down"),
  table.Column(
    "roll_deg", "float32", "degree", "positive: top of the head to the right"
  ),
)
_BOX = ("x0_px", "y0_px", "x1_px", "y1_px")
_ANGLES = ("yaw_deg", "pitch_deg", "roll_deg")


@dataclasses.dataclass(frozen=True)
class Options:
  """What goes into a table.

  Attributes:
    features: Names of features; None for the main ones.
    same_person: Greatest distance of one person's tracks, see
      `same_person.group`; None: people are not told apart.
    batch_size: Faces at a time, 1 or more.
    probes: Linear probes of the model whose outputs become columns; None: no
      such columns.
  """

  features: tuple[str, ...] | None = None
  same_person: float | None = SAME_PERSON
  batch_size: int = api.BATCH_SIZE
  probes: ready_probes.Probes | None = None


def main_features(names: Iterable[str]) -> tuple[str, ...]:
  """Returns the features, of some names, that are narrow and not joined."""
  # Thousands of columns are for those who ask.
  names = tuple(name for name in names if name != _WIDE)
  if not {IDENTITY, "expression"} <= set(names):
    return names
  return tuple(x for x in names if x not in _MADE_OF_OTHERS)


def choose_features(
  names: Iterable[str], asked: tuple[str, ...] | None
) -> tuple[str, ...]:
  """Checks the features that are asked for.

  Args:
    names: Those of the model.
    asked: Some of them; None for the main ones.

  Returns:
    Their names.

  Raises:
    InputError: The model has no such feature, or one is named twice.
  """
  names = tuple(names)
  if asked is None:
    return main_features(names)
  for name in asked:
    if name not in names:
      raise errors.InputError(
        f"--features={','.join(asked)}: expected some of {', '.join(names)}, "
        f"or none; got {name!r}."
      )
  if len(set(asked)) < len(asked):
    raise errors.InputError(f"--features={','.join(asked)}: one stands twice.")
  return asked


def embed(
  model: api.Representation,
  source: face_rows.Source,
  output: str | os.PathLike,
  options: Options | None = None,
  *,
  name: str = "model",
) -> None:
  """Embeds the faces of a source, and writes a row for each.

  What is skipped, and what was assumed, is printed on stderr; one line on
  stdout says what was written. Rows go to a nameless file beside the output as
  they come; people are known at the end, so the output is made of it in a
  second pass. In memory there are a few batches, a block of rows, and the mean
  identity feature of each track.

  Args:
    model: What makes the features.
    source: The faces.
    output: File to write, see `table.check`.
    options: What goes into it; by default `Options()`.
    name: What log and metadata call the model.

  Raises:
    InputError: Not one face can be embedded, or a feature is unknown.
    OSError: The output cannot be written.
  """
  options = options or Options()
  features = choose_features(model.feature_names, options.features)
  probes = options.probes and probe_columns.ProbeColumns(options.probes, model)
  _check_clash(features, probes)
  _log.info("%s, checkpoint of step %d: %s", name, model.step, source.place)
  folder = os.path.dirname(os.path.abspath(output))
  with (
    environment.at(folder),
    tempfile.TemporaryFile(dir=folder) as file,
  ):
    rows = _Rows(
      file, features, options.same_person, model.system.faces, probes
    )
    skipped = _fill(rows, model, source, options.batch_size)
    if not rows.count:
      raise errors.InputError(
        f"{source.place}: not one of {source.num_files} {source.kind} could be "
        "embedded."
      )
    people = rows.people(source.together)
    table.write(
      output,
      rows.columns(),
      lambda: rows.blocks(source.files, people),
      rows.count,
      _metadata(name, model, source, options, people),
    )
  _say(output, rows, source, people, skipped)


def _check_clash(features, probes):
  """Refuses a feature that is called as a column."""
  columns = [*_COLUMNS, *(probes.columns() if probes else ())]
  clash = {x.name for x in columns} & set(features)
  if clash:
    raise errors.InputError(
      f"the feature {min(clash)!r} has the name of a column: leave it out by "
      "--features."
    )


def _fill(rows, model, source, batch_size):
  """Embeds all faces; returns how many files were skipped."""
  skipped, damaged, noted = [], [], []
  with cli.Progress(source.total, source.unit, "faces") as progress:
    batches = read_ahead.iterate(
      source.read(batch_size),
      BATCHES_AHEAD,
      lambda: progress.advance(source.take_done(), 0),
      source.leave,
    )
    with contextlib.closing(batches):
      for batch in batches:
        skipped += batch.skipped
        damaged += batch.damaged
        noted += batch.noted
        if batch.faces:
          images = [face.image for face in batch.faces]
          rows.add(batch.faces, model.embed(images, batch_size=batch_size))
        progress.advance(source.take_done(), len(batch.faces))
    progress.advance(source.take_done(is_over=True), 0)
  for reason in skipped:
    print(f"skipped: {reason}", file=sys.stderr)
  for line in damaged:
    print(f"damaged: {line}", file=sys.stderr)
  for line in photos.count_notes(noted):
    print(line, file=sys.stderr)
  return len(skipped)


def _metadata(name, model, source, options, people) -> dict[str, Any]:
  out = {"model": name, "step": int(model.step), "source": source.place}
  if people is not None:
    out["same_person"] = options.same_person
  if options.probes:
    out["probes"] = {"file": options.probes.name} | options.probes.about
  return out


def _say(output, rows, source, people, skipped):
  text = f"{output}: {rows.count} rows, {rows.num_tracks} tracks"
  if people is not None:
    text += f", {len(set(people.tolist()))} people"
  print(f"{text}; {source.num_files} {source.kind}, {skipped} skipped")


class _Rows:
  """The rows of a table in a file, until people are known.

  Attributes:
    count: How many there are.
  """

  def __init__(self, file, features, threshold, drawing, probes):
    self.count = 0
    self._probes = probes
    self._file, self._features = file, features
    self._threshold, self._drawing = threshold, drawing
    self._dtype, self._widths = None, {}
    self._tracks = {}  # By file and track: number, and what is known of it.
    self._sums, self._counts = [], []

  @property
  def num_tracks(self):
    """How many tracks there are."""
    return len(self._tracks)

  def add(self, faces, found):
    """Writes the rows of some faces.

    Args:
      faces: The faces.
      found: Their features by name, [n, D] float32.
    """
    if self._dtype is None:
      self._widths = {x: found[x].shape[1] for x in self._features}
      self._dtype = _dtype(
        self._widths, self._probes.width if self._probes else 0
      )
    rows = np.empty(len(faces), self._dtype)
    for row, face in zip(rows, faces):
      where = face.found or photos.Found(np.full(4, np.nan, np.float32))
      row["file"], row["frame"] = face.file, face.frame
      row["seconds"], row["track"] = face.seconds, face.track
      row["box"], row["score"] = where.box_px, where.score
      row["detected"] = where.detected
      row["number"] = self._number(face)
    rows["angles"] = self._angles(found, len(faces))
    if self._probes:
      rows["probes"] = self._probes.rows(faces, found)
    for name in self._features:
      rows["features"][name] = found[name]
    self._file.write(rows.tobytes())
    self.count += len(faces)
    if IDENTITY in found and self._threshold is not None:
      self._add_identity(rows["number"], found[IDENTITY])

  def _number(self, face):
    return self._tracks.setdefault((face.file, face.track), len(self._tracks))

  def _angles(self, found, count):
    angles = None
    if self._drawing is not None and "view" in found:
      angles = self._drawing.formation.angles_deg(found["view"])
    return np.full((count, 3), np.nan) if angles is None else angles

  def _add_identity(self, numbers, identity):
    for number, row in zip(numbers.tolist(), identity):
      if number == len(self._sums):
        self._sums.append(np.zeros(len(row)))
        self._counts.append(0)
      self._sums[number] += row
      self._counts[number] += 1

  def people(self, together):
    """Returns [tracks] the person of each; None where nothing tells."""
    if self._threshold is None:
      return None
    if not self._sums:
      _log.warning(
        "people are not told apart: this model has no feature %r.", IDENTITY
      )
      return None
    means = np.stack(self._sums) / np.array(self._counts)[:, None]
    apart = [
      (self._tracks[a], self._tracks[b])
      for a, b in together
      if a in self._tracks and b in self._tracks
    ]
    return same_person.group(means, self._threshold, apart)

  def columns(self) -> list[table.Column]:
    """Returns the columns of the table."""
    return [
      *_COLUMNS,
      *(self._probes.columns() if self._probes else ()),
      *(
        table.Column(name, "float32", "", f"feature {name} of the model", width)
        for name, width in self._widths.items()
      ),
    ]

  def blocks(self, files, people) -> Iterator[table.Block]:
    """Yields the rows that were added, a block at a time."""
    names = [_text(name) for name in files]
    self._file.seek(0)
    size = self._dtype.itemsize
    for start in range(0, self.count, table.ROWS):
      number = min(table.ROWS, self.count - start)
      self._file.seek(start * size)
      rows = np.frombuffer(self._file.read(number * size), self._dtype)
      block = {"file": [names[i] for i in rows["file"]]}
      for name in ("frame", "seconds", "track", "score", "detected"):
        block[name] = rows[name]
      block["person"] = np.full(number, -1, np.int64)
      if people is not None:
        block["person"] = people[rows["number"]]
      block |= dict(zip(_BOX, rows["box"].T))
      block |= dict(zip(_ANGLES, rows["angles"].T))
      if self._probes:
        block |= self._probes.block(rows["probes"])
      block |= {name: rows["features"][name] for name in self._features}
      yield block


def _dtype(widths, probes_width):
  return np.dtype(
    [
      *(("file", "i4"), ("frame", "i8"), ("seconds", "f8"), ("track", "i8")),
      *(("box", "f4", 4), ("score", "f4"), ("detected", "i1")),
      *(("number", "i8"), ("angles", "f4", 3)),
      ("probes", "f4", (probes_width,)),
      ("features", [(name, "f4", width) for name, width in widths.items()]),
    ]
  )


def _text(name):
  """Makes a file name fit for UTF-8."""
  return os.fsencode(name).decode("utf-8", "backslashreplace")
