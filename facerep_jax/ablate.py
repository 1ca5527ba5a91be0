"""Measures what each part of a trained run brings: one table.

python -m facerep_jax.ablate --workdir=RUN --output=DIR

Parts of the run's features are measured as they are; variants of the run, with
a setting changed, are trained in DIR first. A study that was interrupted goes
on where it was. --model=NAME in place of --workdir=RUN, a model that comes with
the library, is measured alone.
"""

import json
import logging
import pathlib
import shutil
import sys
from typing import Any

from facerep_jax import cli, errors
from facerep_jax.ablation import bench, rows, table, variants
from facerep_jax.files import atomic, outputs
from facerep_jax.inference import api, model_choice, packaged, weight_file
from facerep_jax.runs import configuration, stages
from facerep_jax.training import experiment

_log = logging.getLogger(__name__)
FILE = "ablation.json"
_FORMAT = 2  # It changes with what a row holds.


def main(arguments: list[str]) -> None:
  """Runs the command.

  Args:
    arguments: What follows the command's name.

  Raises:
    InputError: The arguments or what they lead to cannot be used.
  """
  options = _parser().parse_args(arguments)
  place = model_choice.place_of(options)
  config = _config(place, options)
  chosen = _chosen(config, options)
  output = pathlib.Path(options.output)
  outputs.check_folder(output, "--output")
  output.mkdir(parents=True, exist_ok=True)
  parts = bench.open_data(options.data)
  if options.every > 1:
    parts = bench.thinned(parts, options.every)
  columns = rows.COLUMNS[config.system]
  study = _Study(output / FILE, options, parts, columns)
  study.add(place, "the run", is_taken_apart=True)
  for path in options.also.split(",") if options.also else ():
    study.add(path, packaged.title_of(path), is_taken_apart=True)
  for variant in chosen:
    own = output / variant.name
    _train(config, pathlib.Path(place), own, variant)
    study.add(own, variant.name, is_taken_apart=False)
  table.write(output, study.found, columns)
  print((output / table.FILE).read_text())
  print(f"{output}: {table.FILE} and {FILE}")


def _parser():
  parser = cli.Parser("python -m facerep_jax.ablate", description=__doc__)
  add = parser.add_argument
  model_choice.add_arguments(parser)
  add("--output", required=True, help="folder of the study")
  add(
    "--train",
    default="",
    help="variants to train, separated by commas; none: measure the run alone; "
    "default: all",
  )
  add(
    "--also",
    default="",
    help="other runs, files or models, separated by commas",
  )
  add(
    "--data",
    default="synthetic:benchmark",
    help="labelled tracks (default: %(default)s)",
  )
  add(
    "--every",
    type=int,
    default=1,
    help="look at every N-th image only (default: %(default)s)",
  )
  return parser


def _config(place, options):
  """Returns the config of the run, or of the model."""
  if not options.model:
    return configuration.load(place)
  if options.train != "none":
    raise errors.InputError(
      f"--model={options.model}: variants are trained beside a run, with its "
      "data and stages. Give --train=none, or --workdir=RUN."
    )
  return weight_file.read(place).config


def _chosen(config, options):
  if options.every < 1:
    raise errors.InputError(f"--every={options.every}: expected 1 or more.")
  if options.train == "none":
    return []
  known = variants.of(config)
  names = options.train.split(",") if options.train else []
  by_name = {variant.name: variant for variant in known}
  for name in names:
    if name not in by_name:
      raise errors.InputError(
        f"--train={options.train}: {name!r} is none of "
        f"{', '.join(by_name)}, none."
      )
  return [by_name[name] for name in names] if names else known


class _Study:
  """Rows that were measured, kept in a file as they come."""

  def __init__(self, path, options, parts, columns):
    self._path, self._parts, self._columns = path, parts, columns
    self._images = {}
    self._key = {
      "format": _FORMAT,
      "data": options.data,
      "every": options.every,
    }
    hint = "Delete it to measure again."
    stored = atomic.read_json(path, hint) if path.is_file() else {}
    is_same = stored.get("of") == self._key
    self.found: dict[str, dict[str, Any]] = (
      stored.get("rows", {}) if is_same else {}
    )

  def add(self, workdir, name, is_taken_apart):
    """Measures a run, unless that was done."""
    model = api.load(workdir)
    if self.found.get(name, {}).get("step") == model.step:
      return
    images = self._cut(model)
    todo = [rows.of_run(name, model, images)]
    if is_taken_apart:
      todo.append(rows.of_samplers(name, model, images))
    for source in todo:
      for row, values in source:
        if row != name and not is_taken_apart:
          continue
        _log.info("measuring %s", row)
        scores = bench.measure(images, values, self._columns)
        self.found[row] = {"step": model.step, "scores": scores}
        self._write()

  def _cut(self, model):
    """Cuts the images, once for all runs with the same crop."""
    key = (model.size_px, json.dumps(model.config.data.crop.to_dict()))
    if key not in self._images:
      self._images[key] = bench.cut(self._parts, model)
    return self._images[key]

  def _write(self):
    atomic.write_json(self._path, {"of": self._key, "rows": self.found})


def _train(config, workdir, place, variant):
  """Trains a variant, with the stages that it shares taken over."""
  _log.info("variant %s", variant.name)
  changed = variants.changed(config, variant)
  for name in variant.keeps:
    if not (place / name).exists():
      with atomic.whole_folder(place / name) as part:
        shutil.copytree(workdir / name, part, dirs_exist_ok=True)
    _link_codes(workdir, place, config, name)
  if variant.keeps:
    left = [name for name in stages.names(config) if name not in variant.keeps]
    changed.stage = left[-1]
  experiment.run(changed, place)


def _link_codes(workdir, place, config, name):
  """Takes over the codes that the shared stage gave, where there are some."""
  for stage in stages.names(config):
    for file in ("codes.npy", "codes.json"):
      known, own = workdir / stage / file, place / stage / file
      if stage != name and known.is_file() and not own.exists():
        with atomic.whole(own) as temporary:
          shutil.copyfile(known, temporary)


if __name__ == "__main__":
  sys.exit(cli.run(main))
