"""Accuracy by skin tone, shape of the head, wrinkles, glasses, cover and hair.

The same synthetic people are drawn again with one thing about them changed, and
models and detectors are measured on them, beside the reference of each factor.
"""

import os
import pathlib
import sys

import numpy as np

from facerep_jax import cli
from facerep_jax.benchmarks import detection, group_faces, report
from facerep_jax.data.labelled import landmark_crop
from facerep_jax.detection import detect
from facerep_jax.evaluators import group_reader, groups
from facerep_jax.files import outputs
from facerep_jax.inference import api

_COLUMNS = (
  report.Column("factor", "changed"),
  report.Column("group", "to"),
  report.Column("value", "value"),
  report.Column("interval", "95 %"),
  report.Column("difference", "difference"),
  report.Column("difference_interval", "95 %"),
)


def main(arguments: list[str]) -> None:
  """Runs the study.

  Args:
    arguments: Of the command line.

  Raises:
    InputError: The arguments cannot be used.
  """
  options = _parser().parse_args(arguments)
  folder = pathlib.Path(options.output)
  outputs.check_folder(folder, "--output")
  (folder / "faces").mkdir(parents=True, exist_ok=True)
  where = report.begin()
  train, faces = _faces(folder / "faces", options)
  measures = {}
  for name in filter(None, options.detectors.split(",")):
    measures[name] = _found(detect.make_detector(name), faces)
  for name in filter(None, options.models.split(",")):
    reader = group_reader.Reader(api.load(name), train)
    measures[name] = _read(reader, faces)
  sections = [
    section
    for name, of_level in measures.items()
    for section in tables(name, of_level)
  ]
  report.save(folder, where, sections)
  print(report.markdown(where, sections))


def tables(
  name: str,
  measured: dict[tuple[str, str], dict[str, group_reader.Measure]],
) -> list[report.Section]:
  """Compares all levels with the references of their factors.

  Args:
    name: Of the model or detector.
    measured: By factor and level, then by what was measured.

  Returns:
    A table for each thing that was measured, with a row for each level.
  """
  sections = []
  for what in next(iter(measured.values())):
    rows = []
    for factor in group_faces.FACTORS:
      if what not in measured[factor.name, factor.reference]:
        continue
      of_level = {
        level: measured[factor.name, level][what] for level in factor.levels
      }
      one = of_level[factor.reference]
      found = groups.compare(
        {level: x.statistic for level, x in of_level.items()},
        one.person,
        factor.reference,
      )
      rows += [_row(factor.name, x, one.spec) for x in found]
    title = f"{name}: {what}"
    sections.append(report.Section(title, title, _COLUMNS, rows))
  return sections


def _row(factor, found, spec):
  row = {
    "factor": factor,
    "group": found.group,
    "value": format(found.value.value, spec),
    "interval": _ends(found.value, spec),
    "exact": _plain(found.value),
    "difference": None,
    "difference_interval": None,
  }
  if found.difference is not None:
    row |= {
      "difference": format(found.difference.value, f"+{spec}"),
      "difference_interval": _ends(found.difference, f"+{spec}"),
      "exact_difference": _plain(found.difference),
      "is_apart": found.is_apart,
    }
  return row


def _plain(interval):
  """Returns numbers that JSON can hold."""
  return [None if np.isnan(x) else float(x) for x in interval]


def _ends(interval, spec):
  return f"[{interval.low:{spec}}, {interval.high:{spec}}]"


def _faces(folder, options):
  """Draws the people of the linear probes, and those who are measured."""
  levels = [(x, level) for x in group_faces.FACTORS for level in x.levels]
  people, seed = options.people, options.seed
  with (
    group_faces.workers(options.workers) as pool,
    cli.Progress(1 + len(levels), "levels", "drawn") as bar,
  ):
    train = group_faces.kept(
      folder / f"{seed}_{options.probe_people}_probes.npz",
      lambda: group_faces.draw_for_probes(options.probe_people, seed, pool),
    )
    bar.advance(1, 1)
    faces = {}
    for factor, level in levels:
      name = group_faces.file_name(factor.name, level)
      change = factor.levels[level]
      faces[factor.name, level] = group_faces.kept(
        folder / f"{seed}_{people}_{name}",
        lambda change=change: group_faces.draw(change, people, seed, pool),
      )
      bar.advance(1, 1)
  # Pixels, labels, person and track alike.
  return group_reader.Frames(*train), {
    key: group_reader.Frames(*value) for key, value in faces.items()
  }


def _found(find, faces):
  """Measures the share of faces that a detector finds."""
  measured = {}
  with cli.Progress(len(faces), "levels", "searched") as bar:
    for key, frames in faces.items():
      boxes = map(landmark_crop.face_box, frames.labels["landmarks_px"])
      hits = [
        any(detection.is_right(row, box) for row in find(image))
        for image, box in zip(frames.pixels, boxes)
      ]
      share = 100.0 * np.array(hits)
      measured[key] = {"found, %": group_reader.Measure(share, frames.person)}
      bar.advance(1, len(frames.pixels))
  return measured


def _read(reader, faces):
  """Measures what a model reads off the faces."""
  measured = {}
  coloured = {x.name for x in group_faces.FACTORS if x.is_colour}
  with cli.Progress(len(faces), "levels", "read") as bar:
    for key, frames in faces.items():
      measured[key] = reader.measure(frames, with_pictures=key[0] in coloured)
      bar.advance(1, len(frames.pixels))
  return measured


def _parser():
  parser = cli.Parser(
    "python -m facerep_jax.benchmarks.groups", description=__doc__
  )
  add = parser.add_argument
  add(
    "--models",
    default="latentface-synthetic,fabnet-synthetic",
    help="with commas between; none if empty (default: %(default)s)",
  )
  add(
    "--detectors",
    default=",".join(detect.NAMES),
    help="with commas between; none if empty (default: %(default)s)",
  )
  add("--people", type=int, default=64, help="who are measured")
  add("--probe-people", type=int, default=150, help="for the linear probes")
  add("--seed", type=int, default=77, help="of the people")
  add("--workers", type=int, default=os.cpu_count() or 1, help="processes")
  add("--output", required=True, help="folder for faces and results")
  return parser


if __name__ == "__main__":
  sys.exit(cli.run(main))
