"""Results of a check of a GPU: a summary, and few files that hold all else."""

import datetime
import json
import pathlib
import tarfile
from collections.abc import Sequence
from typing import Any

from facerep_jax.benchmarks import gpu_run, report
from facerep_jax.files import atomic

_PIECE_BYTES = 15_000_000
_MOST_PIECES = 4
# Of a run; its checkpoints may be too large.
_OF_RUN = ("config.json", "metrics.jsonl", "pictures", "summary.json")
_READINGS = (
  *("step", "loss", "seconds", "steps_per_second", "tracks_per_second"),
  *("data_wait_share", "tflops", "peak_share", "device_memory_gb"),
)
_PARTS = (
  report.Column("name", "part"),
  report.Column("status", "ended"),
  report.Column("seconds", "seconds", ".0f"),
  report.Column("exit_code", "exit code"),
)
_PRODUCT = (
  report.Column("dtype", "numbers"),
  report.Column("seconds", "seconds", ".3g"),
  report.Column("tflops", "TFLOP/s", ".3g"),
  report.Column("peak_share", "of the peak", ".0%"),
  report.Column("memory_mb", "memory, MB", ".0f"),
  report.Column("compile_s", "compilation, s", ".1f"),
)


def save(
  work: pathlib.Path,
  output: pathlib.Path,
  results: Sequence[gpu_run.Result],
  num_parts: int,
) -> None:
  """Writes all that there is so far.

  Args:
    work: Folder in which the parts worked: `logs`, `environment.json`,
      `benchmark`, `run` and `weights.safetensors`, each where it is there.
    output: Folder for summary.md, summary.json, logs.tar.gz, training.tar.gz
      and pieces of the weights.
    results: Of the parts so far.
    num_parts: How many there are.
  """
  notes = _save_weights(work, output)
  found = summary(work, results, num_parts) | {"notes": notes}
  text = json.dumps(found, indent=2) + "\n"
  atomic.write_text(output / "summary.json", text)
  atomic.write_text(output / "summary.md", markdown(found, work))
  _pack(work, output / "logs.tar.gz", ("logs", "environment.json", "benchmark"))
  for run in _runs(work):
    _pack(run, output / "training.tar.gz", _OF_RUN)


def summary(
  work: pathlib.Path, results: Sequence[gpu_run.Result], num_parts: int
) -> dict[str, Any]:
  """Collects the results as plain values.

  Args:
    work: As of `save`.
    results: See there.
    num_parts: See there.

  Returns:
    `date` (UTC); `is_whole`, whether all parts had their turn, and `is_good`,
    whether all of those so far passed; `parts`; `environment`, `benchmarks` by
    name, and `training`, the lines of metrics.jsonl, where they are there.
  """
  return {
    "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    "is_whole": len(results) == num_parts,
    "is_good": all(result.is_good for result in results),
    "parts": [
      {
        "name": result.name,
        "status": result.status,
        "seconds": result.seconds,
        "exit_code": result.exit_code,
        "tail": list(result.tail),
      }
      for result in results
    ],
    "environment": _read(work / "environment.json"),
    "benchmarks": {
      path.parent.name: _read(path)
      for path in sorted(work.glob("benchmark/*/benchmark.json"))
    },
    "training": [
      json.loads(line)
      for run in _runs(work)
      for line in _lines(run / "metrics.jsonl")
    ],
  }


def markdown(found: dict[str, Any], work: pathlib.Path) -> str:
  """Renders a summary.

  Args:
    found: Of `summary`, with `notes`, lines to add.
    work: As of `save`.

  Returns:
    Markdown text.
  """
  parts = report.Section("parts", "Parts", _PARTS, found["parts"])
  state = "whole" if found["is_whole"] else "not whole yet"
  result = "all passed" if found["is_good"] else "not all passed"
  text = [f"# Check of a GPU, {found['date']}: {state}, {result}"]
  text += [report.table(parts), *found["notes"]]
  for part in found["parts"]:
    if part["status"] != gpu_run.PASSED and part["tail"]:
      text += [f"{part['name']}:", "```\n" + "\n".join(part["tail"]) + "\n```"]
  if found["environment"]:
    text += _environment(found["environment"])
  text += _training(found["training"])
  for path in sorted(work.glob("benchmark/*/benchmark.md")):
    text += [f"## Benchmark: {path.parent.name}", path.read_text()]
  return "\n\n".join(text).rstrip() + "\n"


def _environment(found):
  """Renders what the machine is, and the product that was timed on it."""
  rows = [{"dtype": name, **x} for name, x in found["product"].items()]
  product = report.Section("product", "Product", _PRODUCT, rows)
  lines = [f"- {k}: {_said(v)}" for k, v in found.items() if k != "product"]
  size = found["product_size"]
  title = f"Product of two matrices of {size} x {size} numbers:"
  return ["## Environment", "\n".join(lines), title, report.table(product)]


def _said(value):
  if isinstance(value, dict):
    return ", ".join(f"{name} {_said(x)}" for name, x in value.items())
  if isinstance(value, list):
    return ", ".join(map(_said, value))
  return "unknown" if value is None else str(value)


def _training(found):
  """Renders the last lines of a training, and its last evaluation."""
  text = []
  rows = [line for line in found if line["split"] == "train"][-12:]
  if rows:
    columns = tuple(report.Column(key, key, ".4g") for key in _READINGS)
    rows = [{key: line.get(key) for key in _READINGS} for line in rows]
    section = report.Section("training", "Training", columns, rows)
    text += ["## Training, the last lines", report.table(section)]
  for line in [x for x in found if x["split"] == "validation"][-1:]:
    text.append(f"Validation at step {line['step']}: loss {line['loss']:.4g}.")
  return text


def _runs(work):
  """Returns the folder of the run, whose stage may have one of its own."""
  return [path.parent for path in sorted(work.glob("run/**/metrics.jsonl"))][:1]


def _lines(path):
  """Returns the lines that are whole."""
  text = path.read_text()
  return text[: text.rfind("\n") + 1].splitlines()


def _read(path):
  return json.loads(path.read_text()) if path.exists() else None


def _pack(folder, path, names):
  """Writes those of some files and folders that are there to an archive."""
  there = [name for name in names if (folder / name).exists()]
  if not there:
    return
  with (
    atomic.whole(path) as temporary,
    tarfile.open(temporary, "w:gz") as archive,
  ):
    for name in there:
      archive.add(folder / name, name)


def _save_weights(work, output):
  """Cuts the weights into pieces; says in a line what was left out."""
  path = work / "weights.safetensors"
  if not path.exists():
    return []
  num_bytes = path.stat().st_size
  count = -(-num_bytes // _PIECE_BYTES)
  size = f"{num_bytes / 1e6:.1f} MB of weights"
  if count > _MOST_PIECES:
    return [f"{size}: too many to be kept here; they are in {path.name}."]
  with open(path, "rb") as file:
    for number in range(count):
      with atomic.whole(output / f"{path.name}.{number}") as temporary:
        temporary.write_bytes(file.read(_PIECE_BYTES))
  return [f"{size}, in {count} pieces: cat {path.name}.* > {path.name}"]
