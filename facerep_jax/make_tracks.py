"""Makes face tracks from videos or frames, or draws synthetic ones.

python -m facerep_jax.make_tracks --source=PATH --output=DIR
"""

import os
import pathlib
import re
import sys
from typing import Any

from facerep_jax import cli, errors, setting_ranges
from facerep_jax.data import (
  benchmark_set,
  build,
  extract,
  listing,
  sheet,
  sources,
)
from facerep_jax.files import outputs

_UNITS = "units"
_NEEDED = ["--source=", "--output="]


def main(arguments: list[str]) -> None:
  """Runs the command.

  Args:
    arguments: What follows the command's name.

  Raises:
    InputError: The arguments or what they lead to cannot be used.
  """
  options = _parser().parse_args(arguments)
  settings, plan, found = _settings(options), _plan(options), _sources(options)
  if any(x.path == sources.BENCHMARK for x in found):
    _check_alone(options, found)
    settings, plan = benchmark_set.settings(options.depth), benchmark_set.PLAN
    benchmark_set.check()
  passed_over = {}
  units = sources.collect(
    found,
    settings.num_people,
    settings.tracks_per_person,
    on_passed_over=passed_over.__setitem__,
  )
  if options.depth and all(x.kind != sources.SYNTHETIC for x in units):
    raise errors.InputError(
      "--depth: only synthetic tracks have depth; leave it out."
    )
  if options.sheet and not _is_made(options.sheet, options.output):
    outputs.check_file(options.sheet, "--sheet")
  for line in naming(units):
    print(line)
  with cli.Progress(len(units), _UNITS, "frames") as progress:
    manifest = build.build(
      units,
      options.output,
      settings,
      plan,
      workers=options.workers,
      overwrite=options.overwrite,
      on_unit=lambda report, is_new: (
        progress.advance(1, report.num_decoded) if is_new else progress.drop(1)
      ),
      passed_over=passed_over,
    )
  for line in summary(manifest):
    print(line)
  if options.sheet:
    count = sheet.draw(options.output, options.sheet)
    print(f"{options.sheet}: {count} tracks drawn")
  print(f"{options.output}: finished")


def _is_made(path, output):
  """Says whether the folder of a file is made together with the output."""
  folder = pathlib.Path(os.path.abspath(path)).parent
  made = pathlib.Path(os.path.abspath(output))
  return not folder.exists() and made.is_relative_to(folder)


def naming(units: list[sources.Unit]) -> list[str]:
  """Says in a line for each source how many people it has, and how named."""
  lines = {}
  for unit in units:
    place = unit.source, unit.kind, unit.naming
    lines.setdefault(place, []).extend(unit.entries)
  out = []
  for (source, kind, rule), entries in lines.items():
    what = {"videos": "clips", sources.SYNTHETIC: "tracks", "frames": "tracks"}
    people = len({entry.person for entry in entries})
    count = f"{people} people in {len(entries)} {what.get(kind, 'images')}"
    out.append(f"{source}: {count}; {rule}")
  return out


def summary(manifest: dict[str, Any]) -> list[str]:
  """Says in a few lines what became of each source and split."""
  lines = []
  size_px = manifest["settings"]["size_px"]
  for path, total in manifest["sources"].items():
    lines.append(
      f"{path}: {total['num_tracks']} tracks, {total['num_stored']} frames "
      f"stored; {total['num_decoded']} of {total['num_read']} decoded"
    )
    if total["num_detected"]:
      detected, followed = total["num_detected"], total["num_interpolated"]
      share = 100 * detected / total["num_kept"]
      lines[-1] += (
        f"; of {total['num_kept']} kept, face detected in {detected} "
        f"({share:.0f} %), interpolated in {followed}"
      )
    lines += _times(total)
    for what in ("skipped", "problems", "notes"):
      for reason, count in total.get(what, {}).items():
        lines.append(f"  {what}: {count} x {reason}")
    lines += _who_is_who(total)
    if total.get("passed_over"):
      lines.append(f"  passed over: {listing.say(total['passed_over'])}")
    if total["num_squared"]:
      lines.append(
        f"  {total['num_squared']} images were not square: the central square "
        "was taken"
      )
    if total["num_enlarged"]:
      lines.append(
        f"  {total['num_enlarged']} frames were smaller than --size={size_px} "
        "and were enlarged; a smaller --size stores them without"
      )
  for name, split in manifest["splits"].items():
    lines.append(
      f"{name}: {split['people']} people, {split['tracks']} tracks, "
      f"{split['frames']} frames, {split['bytes'] / 2**20:.1f} MiB"
    )
  return lines


def _times(total):
  """Says how the frames of videos lie in time."""
  if "source_fps" not in total:  # Not of videos, or made before this was kept.
    return []
  low, high = total["source_fps"]
  rate = f"{low:.6g}" if low == high else f"{low:.6g} to {high:.6g}"
  step = total["longest_step_s"]
  return [
    f"  videos of {rate} frames a second; longest step between frames "
    f"{step:.3g} s"
  ]


def _who_is_who(total):
  """Says what was found out about people in videos."""
  if total["kind"] != "videos":
    return []
  lines = [
    f"  {total['people']} people in the tracks of {total['units']} clips"
  ]
  if total["num_divided"]:
    lines.append(
      f"  {total['num_divided']} tracks were ended where another face took the "
      "place of the first (a dissolve, wipe or fade)"
    )
  return lines


def _parser():
  parser = cli.Parser("python -m facerep_jax.make_tracks", description=__doc__)
  add = parser.add_argument
  add(
    "--source",
    action="append",
    required=True,
    help="video, folder of videos, of frames or of photos, 'synthetic', "
    "'synthetic:benchmark', 'synthetic:ict', 'synthetic:mixed' or "
    "'synthetic:ict=PATH'; may be given several times, or separated by commas",
  )
  add("--output", required=True, help="folder of the dataset")
  add(
    "--layout",
    action="append",
    help="of the sources, one for all or one each: "
    f"{', '.join(sources.LAYOUTS)} (default auto)",
  )
  add(
    "--person",
    action="append",
    help="regular expression on paths relative to the source, group 1 is the "
    "person; one for all sources or one each",
  )
  default = extract.Settings()
  add("--size", type=int, default=default.size_px, help="of frames, in pixels")
  add("--fps", type=float, default=default.fps, help="frames kept per second")
  add("--chunk", type=int, default=default.chunk, help="most frames a record")
  add("--quality", type=int, default=default.quality, help="of JPEG, 1 to 100")
  add("--detector", help="model file (.onnx) for cv2.FaceDetectorYN")
  add(
    "--find-faces",
    action="store_true",
    help="look for the face in frames and images too, and crop it",
  )
  add("--split", default="70/10/20", help="train/validation/test shares")
  add("--seed", type=int, default=0, help="of the split and synthetic tracks")
  _add_synthetic(add, default)
  add("--workers", type=int, default=os.cpu_count() or 1, help="processes")
  add(
    "--overwrite",
    action="store_true",
    help="discard what DIR holds of an earlier run",
  )
  add("--sheet", help="PNG file to draw tracks and face boxes to")
  return parser


def _add_synthetic(add, default):
  """Adds the options of drawn tracks."""
  add("--num-people", type=int, default=default.num_people, help="synthetic")
  add("--tracks-per-person", type=int, default=default.tracks_per_person)
  add("--num-frames", type=int, default=default.num_frames, help="a track")
  add(
    "--pose-scale",
    type=float,
    default=default.pose_scale,
    help="factor of yaw, pitch and roll of synthetic heads",
  )
  add(
    "--expressions",
    type=int,
    default=default.expressions,
    help="how many follow each other in a synthetic track; 0: one or two",
  )
  add(
    "--restyle",
    action="store_true",
    help="draw hair style and glasses anew for each synthetic track",
  )
  add(
    "--depth",
    action="store_true",
    help="store depth and mask of synthetic tracks, too",
  )


def _settings(options):
  setting_ranges.check_options(options, setting_ranges.TRACKS)
  return extract.Settings(
    size_px=options.size,
    fps=options.fps,
    chunk=options.chunk,
    quality=options.quality,
    detector=options.detector,
    find_faces=options.find_faces,
    seed=options.seed,
    num_people=options.num_people,
    tracks_per_person=options.tracks_per_person,
    num_frames=options.num_frames,
    pose_scale=options.pose_scale,
    expressions=options.expressions,
    restyle=options.restyle,
    maps=options.depth,
  )


def _check_alone(options, found):
  """Refuses what would make another set of the benchmark."""
  if len(found) > 1:
    raise errors.InputError(
      f"--source={sources.BENCHMARK}: must be the only source; make one "
      "dataset of each."
    )
  free = ("source", "output", "depth", "workers", "overwrite", "sheet")
  for name, value in vars(_parser().parse_args(_NEEDED)).items():
    if name not in free and getattr(options, name) != value:
      raise errors.InputError(
        f"--{name.replace('_', '-')}: {sources.BENCHMARK} is one fixed set; "
        "leave this option out."
      )


def _plan(options):
  shares = re.fullmatch(r"(\d+)/(\d+)/(\d+)", options.split)
  numbers = tuple(int(x) for x in shares.groups()) if shares else ()
  if sum(numbers) != 100 or not numbers[0]:
    raise errors.InputError(
      f"--split={options.split}: expected three shares in percent that add up "
      "to 100, such as 70/10/20, the first above 0."
    )
  return build.Plan(numbers, options.seed)


def _sources(options):
  paths = []
  for text in options.source:
    # A comma may be part of a name.
    paths += [text] if os.path.exists(text) else text.split(",")
  layouts = _one_each("layout", options.layout or ["auto"], paths)
  people = _one_each("person", options.person or [None], paths)
  for layout in layouts:
    if layout not in sources.LAYOUTS:
      raise errors.InputError(
        f"--layout={layout}: expected one of {', '.join(sources.LAYOUTS)}."
      )
  return [sources.Source(*each) for each in zip(paths, layouts, people)]


def _one_each(name, values, paths):
  if len(values) == 1:
    return values * len(paths)
  if len(values) != len(paths):
    raise errors.InputError(
      f"--{name} is given {len(values)} times for {len(paths)} sources; give "
      "it once, or once for each source."
    )
  return values


if __name__ == "__main__":
  sys.exit(cli.run(main))
