"""How often tables of faces tell people right, over files, cuts and dissolves.

Recordings of known people are embedded and grouped as `embed` does. Clips
joined of them are read, followed and grouped as videos are.
"""

import pathlib
import sys
import tempfile
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from facerep_jax import cli, errors
from facerep_jax.benchmarks import people_clips, people_recordings, report
from facerep_jax.data import video_faces
from facerep_jax.evaluators import pairwise
from facerep_jax.files import outputs
from facerep_jax.inference import api, face_rows, face_table, same_person

_PARTS = 3  # Of a recording, that are taken for tracks.
_FPS = 6.0  # Frames a second of clips that are embedded; as of make_tracks.
_DEFAULT = f"{face_table.IDENTITY}:0.005,{face_table.SAME_PERSON},0.03"
_PAIRS = (
  report.Column("set", "tracks of"),
  report.Column("rows", "tracks"),
  report.Column("people", "people"),
  report.Column("of_one", "pairs of one person"),
  report.Column("feature", "feature"),
  report.Column("threshold", "threshold", "g"),
  report.Column("precision", "precision"),
  report.Column("recall", "recall"),
)
_ENDS = (
  report.Column("set", "clips"),
  report.Column("changes", "changes of person"),
  report.Column("changes_ended", "ended there"),
  report.Column("same", "other shots of the same"),
  report.Column("same_ended", "ended there"),
  report.Column("shots", "shots"),
  report.Column("empty", "without a track"),
  report.Column("extra", "tracks too many"),
)


class Tracks(NamedTuple):
  """Tracks of known people.

  Attributes:
    person: [N] str, whom each is of.
    features: By name, [N, D] float, mean over its frames.
    apart: Pairs of tracks that were there at one time.
    file: [N] int, the clip of each; None where they are not of clips.
  """

  person: np.ndarray
  features: dict[str, np.ndarray]
  apart: list[tuple[int, int]]
  file: np.ndarray | None = None


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
  model = api.load(options.model)
  thresholds = _thresholds(options.thresholds or [_DEFAULT], model)
  (folder / "recordings").mkdir(parents=True, exist_ok=True)
  where = report.begin()
  names = list(thresholds)
  sets, counted = _of_recordings(model, names, options), []
  for name, clips in _clips(options).items():
    sets[name], found = follow(model, clips, names, options.detector)
    counted.append({"set": name} | found._asdict())
  sections = [pairs(sets, thresholds)]
  if counted:
    title = "Shots and their tracks"
    sections.append(report.Section("ends", title, _ENDS, counted))
  report.save(folder, where, sections)
  print(report.markdown(where, sections))


def pairs(
  sets: dict[str, Tracks], thresholds: dict[str, list[float]]
) -> report.Section:
  """Groups tracks, and counts pairs.

  Args:
    sets: By name. Of clips, tracks are also compared within their clips alone.
    thresholds: Greatest distances of one person's tracks, by feature.

  Returns:
    A row for each set, feature and threshold.
  """
  rows = []
  for name, tracks in sets.items():
    for feature, value in ((x, v) for x in thresholds for v in thresholds[x]):
      group = same_person.group(tracks.features[feature], value, tracks.apart)
      compared = {name: (tracks.person, group)}
      if tracks.file is not None:
        compared[f"{name}, within each"] = tuple(
          np.array([f"{file} {x}" for file, x in zip(tracks.file, names)])
          for names in (tracks.person, group)
        )
      for title, of_rows in compared.items():
        found = pairwise.compare(*of_rows)
        rows.append(_row(title, feature, value, found))
  return report.Section("pairs", "Pairs of tracks", _PAIRS, rows)


def _row(name, feature, threshold, found):
  return {
    "set": name,
    "feature": feature,
    "rows": found.num_rows,
    "people": found.num_people,
    "of_one": found.num_of_one,
    "joined": found.num_joined,
    "threshold": threshold,
    "precision": _say(found.precision),
    "recall": _say(found.recall),
  }


def _say(found):
  if np.isnan(found.value):
    return "(no pair)"
  return f"{found.value:.2f} [{found.low:.2f}, {found.high:.2f}]"


def follow(
  model: api.Representation,
  clips: Sequence[people_clips.Clip],
  names: Sequence[str] = (face_table.IDENTITY,),
  detector: str | None = None,
) -> tuple[Tracks, people_clips.Ends]:
  """Follows the faces of clips as `embed --videos --fps=6` does.

  Args:
    model: What makes the features.
    clips: The clips; written as MP4 and read again.
    names: Of the features.
    detector: As `detect.make_detector` takes it.

  Returns:
    The tracks that have frames of a shot alone, and what became of the shots.

  Raises:
    InputError: What reads or writes video is not installed.
  """
  frames, rows = {}, {}
  with tempfile.TemporaryDirectory() as folder:
    people_clips.write(clips, pathlib.Path(folder))
    choice = video_faces.Choice(fps=_FPS)
    source = face_rows.of_videos(folder, choice, detector)
    with cli.Progress(source.total, source.unit, "faces") as progress:
      for batch in source.read(api.BATCH_SIZE):
        images = [face.image for face in batch.faces]
        found = model.embed(images) if images else {}
        for number, face in enumerate(batch.faces):
          track = face.file, face.track
          frames.setdefault(track, []).append(face.frame)
          row = {name: found[name][number] for name in names}
          rows.setdefault(track, []).append(row)
        progress.advance(source.take_done(), len(images))
  by_clip = [
    [frames[x] for x in sorted(frames) if x[0] == file]
    for file in range(len(clips))
  ]
  tracks = _tracks(clips, frames, rows, names, source.together)
  return tracks, people_clips.ends(clips, by_clip)


def _tracks(clips, frames, rows, names, together):
  """Returns the tracks of some shot, with the person of most of its frames."""
  shots = {x: people_clips.shot_of(clips[x[0]], frames[x]) for x in frames}
  used = sorted(x for x in frames if shots[x] is not None)
  place = {track: number for number, track in enumerate(used)}
  means = {
    name: np.stack([np.mean([y[name] for y in rows[x]], 0) for x in used])
    for name in names
  }
  return Tracks(
    np.array([clips[x[0]].shots[shots[x]].person for x in used]),
    means,
    [(place[a], place[b]) for a, b in together if {a, b} <= set(place)],
    np.array([file for file, _ in used]),
  )


def parts(
  model: api.Representation,
  recordings: Sequence[people_recordings.Recording],
  num: int,
  names: Sequence[str] = (face_table.IDENTITY,),
) -> Tracks:
  """Takes parts of recordings of cut faces for tracks.

  Args:
    model: What makes the features.
    recordings: Their frames are embedded whole.
    num: Parts of each, of about as many frames.
    names: Of the features.

  Returns:
    Tracks in the order of recordings and time.
  """
  means = {name: [] for name in names}
  with cli.Progress(len(recordings), "recordings", "embedded") as progress:
    for one in recordings:
      found = model.embed(list(one.frames))
      for name in names:
        some = np.array_split(found[name], num)
        means[name] += [rows.mean(0) for rows in some]
      progress.advance(1, 1)
  person = np.repeat([one.person for one in recordings], num)
  return Tracks(person, {x: np.stack(means[x]) for x in names}, [])


def _of_recordings(model, names, options):
  """Returns tracks of recordings, by name."""
  sets = {}
  if options.people:
    drawn = people_recordings.kept(
      _file(options, f"{options.people}_recordings"),
      lambda: people_recordings.draw(options.people, options.seed),
    )
    halves = parts(model, drawn, 2, names)
    sets["synthetic recordings"] = Tracks(
      halves.person[::2],
      {x: (v[::2] + v[1::2]) / 2 for x, v in halves.features.items()},
      [],
    )
    is_first = np.arange(len(drawn)) % people_recordings.RECORDINGS == 0
    taken = np.repeat(is_first, 2)
    sets["halves of synthetic recordings, one a person"] = Tracks(
      halves.person[taken],
      {x: v[taken] for x, v in halves.features.items()},
      [],
    )
  if options.tracks:
    real = people_recordings.of_folders(options.tracks)
    sets["thirds of tracks"] = parts(model, real, _PARTS, names)
  return sets


def _clips(options):
  """Joins clips, by name."""
  found = {}
  drawn = filmed = ()
  if options.clips:
    drawn = people_recordings.kept(
      _file(options, f"{options.clips}_shots"),
      lambda: people_recordings.draw_shots(options.clips, options.seed),
    )
  if options.videos:
    filmed = people_recordings.of_videos(options.videos)
  for kind in people_clips.KINDS:
    if drawn:
      threes = [drawn[i : i + 3] for i in range(0, len(drawn), 3)]
      found[f"synthetic, {kind}s"] = [
        people_clips.of_drawn(three, kind) for three in threes
      ]
    if filmed:
      found[f"filmed, {kind}s"] = people_clips.of_filmed(filmed, kind)
  return found


def _file(options, name):
  folder = pathlib.Path(options.output) / "recordings"
  return folder / f"{options.seed}_{name}.npz"


def _thresholds(texts, model):
  """Returns thresholds by feature."""
  found = {}
  for text in texts:
    name, _, numbers = text.partition(":")
    try:
      found[name] = [float(x) for x in numbers.split(",")]
    except ValueError as error:
      raise errors.InputError(
        f"--thresholds={text}: expected a feature and numbers, as {_DEFAULT}."
      ) from error
    if not all(0 <= x <= 2 for x in found[name]):
      raise errors.InputError(f"--thresholds={text}: expected 0 to 2 each.")
    if name not in model.feature_names:
      raise errors.InputError(
        f"--thresholds={text}: expected one of "
        f"{', '.join(model.feature_names)}, got {name!r}."
      )
  return found


def _parser():
  parser = cli.Parser(
    "python -m facerep_jax.benchmarks.people", description=__doc__
  )
  add = parser.add_argument
  add("--model", default="latentface-synthetic", help="(%(default)s)")
  add("--people", type=int, default=40, help="with three recordings each")
  add("--clips", type=int, default=16, help="of two other people each")
  add("--seed", type=int, default=901, help="of the people")
  add("--tracks", help="folder PERSON/VIDEO/TRACK/NAME.jpg of cut faces")
  add("--videos", help="folder of videos of one person each, of one size")
  add("--detector", help="for clips, as of embed")
  add(
    "--thresholds",
    action="append",
    help="a feature, and greatest distances of one person's tracks by it; may "
    f"be repeated ({_DEFAULT})",
  )
  add("--output", required=True, help="folder for recordings and results")
  return parser


if __name__ == "__main__":
  sys.exit(cli.run(main))
