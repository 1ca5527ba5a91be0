"""Makes face tracks from videos or frames, or draws synthetic ones.

python -m facerep_jax.make_tracks --source=PATH --output=DIR
"""

import os
import re
import sys

from facerep_jax import cli, errors, setting_ranges
from facerep_jax.data import benchmark_set, build, dataset, extract, sources
from facerep_jax.detection import detect

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
  dataset.make(
    found,
    options.output,
    settings,
    plan,
    workers=options.workers,
    overwrite=options.overwrite,
    sheet_path=options.sheet,
  )


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
  add("--detector", help=detect.HELP)
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
