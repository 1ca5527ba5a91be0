"""Makes a dataset of face tracks, and says what it holds."""

import os
import pathlib
from collections.abc import Sequence
from typing import Any

from facerep_jax import cli, errors
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


def make(
  found: Sequence[sources.Source],
  output: str,
  settings: extract.Settings | None = None,
  plan: build.Plan | None = None,
  *,
  workers: int | None = None,
  overwrite: bool = False,
  sheet_path: str | None = None,
) -> dict[str, Any]:
  """Makes the dataset of some sources; what becomes of them is printed.

  Args:
    found: What to read; a benchmark stands alone, as `benchmark_set` has it.
    output: Folder of the dataset.
    settings: How records are made; by default `extract.Settings()`.
    plan: How they are split and stored; by default `build.Plan()`.
    workers: Processes; by default one for each core.
    overwrite: Discard what `output` holds of an earlier run.
    sheet_path: PNG file to draw tracks and face boxes to.

  Returns:
    The manifest.

  Raises:
    InputError: A source, output or sheet cannot be used, or lacks depth.
  """
  settings, plan = settings or extract.Settings(), plan or build.Plan()
  if any(x.path == sources.BENCHMARK for x in found):
    _check_benchmark(found, settings, plan)
  passed_over = {}
  units = sources.collect(
    list(found),
    settings.num_people,
    settings.tracks_per_person,
    on_passed_over=passed_over.__setitem__,
  )
  if settings.maps and all(x.kind != sources.SYNTHETIC for x in units):
    raise errors.InputError(
      "--depth: only synthetic tracks have depth; leave it out."
    )
  if sheet_path and not _is_made(sheet_path, output):
    outputs.check_file(sheet_path, "--sheet")
  for line in naming(units):
    print(line)
  with cli.Progress(len(units), _UNITS, "frames") as progress:
    manifest = build.build(
      units,
      output,
      settings,
      plan,
      workers=workers or os.cpu_count() or 1,
      overwrite=overwrite,
      on_unit=lambda report, is_new: (
        progress.advance(1, report.num_decoded) if is_new else progress.drop(1)
      ),
      passed_over=passed_over,
    )
  _report(manifest, output, sheet_path)
  return manifest


def _report(manifest, output, sheet_path):
  """Prints what became of the sources, and draws the sheet."""
  for line in summary(manifest):
    print(line)
  if sheet_path:
    count = sheet.draw(output, sheet_path)
    print(f"{sheet_path}: {count} tracks drawn")
  print(f"{output}: finished")


def _check_benchmark(found, settings, plan):
  """Refuses what would be another set than the benchmark's."""
  fixed = benchmark_set.settings(settings.maps), benchmark_set.PLAN
  if len(found) > 1 or (settings, plan) != fixed:
    raise errors.InputError(
      f"{sources.BENCHMARK}: is one fixed set; make it alone, with the "
      "settings and the plan of `benchmark_set`."
    )
  benchmark_set.check()


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
