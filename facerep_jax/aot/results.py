"""Tables of compiled training steps, and what is wrong with them."""

import datetime
import importlib.metadata
from collections.abc import Sequence
from typing import Any

from facerep_jax.benchmarks import report

FORMAT = 1  # Of the JSON; it changes when a key changes its meaning.
_USES = ("arguments", "outputs", "temporaries", "code", "total")
_STEPS = (
  report.Column("stage", "step of"),
  report.Column("device_kind", "device"),
  report.Column("num_devices", "devices"),
  report.Column("num_slices", "slices"),
  report.Column("batch_size", "batch"),
  *(report.Column(f"{name}_gb", f"{name}, GB", ".3f") for name in _USES),
  report.Column("limit_gb", "of, GB", ".1f"),
  report.Column("fits", "fits"),
  report.Column("gigaflops", "10^9 flops", ".1f"),
  report.Column("lookups", "lookups"),
  report.Column("scatters", "scatters"),
  report.Column("compile_s", "compilation, s", ".0f"),
)
_TRANSFERS = (
  report.Column("stage", "step of"),
  report.Column("kind", "transfer"),
  report.Column("gradient", "gradient"),
  report.Column("loop", "in a loop"),
  report.Column("across", "across slices", missing="not told"),
  report.Column("count", "count"),
  report.Column("mb", "MB", ".3f"),
  report.Column("other_mb", "largest beside gradients, MB", ".3f"),
)


def fits(row: dict[str, Any], limit_bytes: float | None) -> bool | None:
  """Tells whether a compiled step fits into the memory of a device.

  Args:
    row: As `worker.measure` returns it.
    limit_bytes: Memory of a device.

  Returns:
    Whether; None without a limit.
  """
  if row["is_out_of_memory"]:
    return False
  if limit_bytes is None:
    return None
  return row["memory"]["total"] <= limit_bytes


def problems(
  rows: Sequence[dict[str, Any]],
  limit_bytes: float | None,
  max_collective_bytes: float,
) -> list[str]:
  """Lists what should keep one from training.

  Args:
    rows: As `worker.measure` returns them, with the title of each as `stage`.
    limit_bytes: Memory of a device.
    max_collective_bytes: Most that a transfer may carry beside gradients.

  Returns:
    A sentence for each; none if all is well.
  """
  found = []
  for row in rows:
    if fits(row, limit_bytes) is False:
      found.append(
        f"{row['stage']}: does not fit: {_wanted(row)} a device. Give a "
        "smaller --batch-size, or --largest-batch to search one."
      )
    for one in row["collectives"] or ():
      size = one["largest_other_bytes"]
      if size > max_collective_bytes:
        found.append(
          f"{row['stage']}: {one['kind']} of {size / 1e6:.1f} MB that is no "
          f"gradient ({one['origin']}), more than --max-collective-mb="
          f"{max_collective_bytes / 1e6:g}."
        )
  return found


def _wanted(row):
  memory = row["memory"]
  return f"{memory['total'] / 1e9:.1f} GB" if memory else "more than there is"


def markdown(rows: Sequence[dict[str, Any]], limit_bytes: float | None) -> str:
  """Renders compiled steps as two tables.

  Args:
    rows: As for `problems`.
    limit_bytes: Likewise.

  Returns:
    Markdown text.
  """
  steps, transfers = [], []
  for row in rows:
    steps.append(_step(row, limit_bytes))
    transfers += [_transfer(row, one) for one in row["collectives"] or ()]
  parts = [
    "Compiled, not run. Memory and flops are those of one device, lookups and "
    "scatters its single ones, of less than 128 numbers, loops run once.",
    report.table(report.Section("steps", "Steps", _STEPS, steps)),
  ]
  if transfers:
    parts.append(
      report.table(report.Section("moves", "", _TRANSFERS, transfers))
    )
  return "\n\n".join(parts)


def _step(row, limit_bytes):
  memory, flops = row["memory"] or {}, row["flops"]
  found = {
    f"{name}_gb": memory[name] / 1e9 if name in memory else None
    for name in _USES
  }
  verdict = {True: "yes", False: "no", None: None}[fits(row, limit_bytes)]
  return (
    row
    | row["lookups"]
    | found
    | {
      "limit_gb": None if limit_bytes is None else limit_bytes / 1e9,
      "fits": verdict,
      "gigaflops": None if flops is None else flops / 1e9,
    }
  )


def _transfer(row, one):
  words = {True: "yes", False: "no", None: None}
  return one | {
    "stage": row["stage"],
    "gradient": words[one["is_gradient"]],
    "loop": words[one["is_in_loop"]],
    "across": words[one["is_across_slices"]],
    "mb": one["num_bytes"] / 1e6,
    "other_mb": one["largest_other_bytes"] / 1e6,
  }


def as_json(
  rows: Sequence[dict[str, Any]], topology: str, limit_bytes: float | None
) -> dict[str, Any]:
  """Returns compiled steps as plain values.

  Args:
    rows: As for `problems`.
    topology: As the user named it.
    limit_bytes: Likewise.

  Returns:
    `format`, `what`, `date` (UTC), `versions`, `topology`,
    `memory_of_device_bytes` and `steps`: the rows, each with `fits`.
  """
  return {
    "format": FORMAT,
    "what": "compiled, not run",
    "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
    "versions": {x: _version(x) for x in ("jax", "jaxlib", "libtpu", "flax")},
    "topology": topology,
    "memory_of_device_bytes": limit_bytes,
    "steps": [row | {"fits": fits(row, limit_bytes)} for row in rows],
  }


def _version(package):
  try:
    return importlib.metadata.version(package)
  except importlib.metadata.PackageNotFoundError:
    return None
