"""Results of benchmarks as Markdown and JSON, with the machine they ran on."""

import dataclasses
import datetime
import importlib.metadata
import json
import os
import pathlib
import platform
import subprocess

import jax

from facerep_jax.files import atomic
from facerep_jax.runs import arithmetic

FORMAT = 1  # Of the JSON; it changes when a key changes its meaning.
_PACKAGES = (
  "jax",
  "jaxlib",
  "flax",
  "optax",
  "orbax-checkpoint",
  "numpy",
  "grain",
  "pillow",
  "simplejpeg",
  "torch",
)


@dataclasses.dataclass(frozen=True)
class Column:
  """A column of a table.

  Attributes:
    key: Of the row's value.
    title: What stands above.
    spec: How the value is formatted, as in `format(value, spec)`.
    missing: What stands where the value is None.
  """

  key: str
  title: str
  spec: str = ""
  missing: str = "-"


@dataclasses.dataclass(frozen=True)
class Section:
  """One table of results.

  Attributes:
    name: Key in the JSON.
    title: Heading in the Markdown.
    columns: What the Markdown shows, in order.
    rows: Values by key; may hold more keys than columns show.
    notes: Lines below the table.
  """

  name: str
  title: str
  columns: tuple[Column, ...]
  rows: list[dict[str, object]]
  notes: tuple[str, ...] = ()


def machine() -> dict[str, object]:
  """Describes where a benchmark runs, without names or paths.

  Returns:
    `date` (UTC), `platform`, `backend`, `device_kind`, `num_devices`,
    `num_cores`, `python`; `versions` by package, None for one that is not
    installed; `commit`, see there; `device_memory_bytes`, what JAX may take of
    one device, and `peak_tflops`, 10^12 operations a second by type of number,
    each None where unknown.
  """
  device = jax.devices()[0]
  peaks = {
    name: arithmetic.peak(device.device_kind, name)
    for name in ("bfloat16", "float32")
  }
  return {
    "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
    "platform": f"{platform.system()} {platform.machine()}",
    "backend": jax.default_backend(),
    "device_kind": device.device_kind,
    "device_memory_bytes": arithmetic.memory_bytes([device]).get("limit"),
    "peak_tflops": {
      name: value and value / 1e12 for name, value in peaks.items()
    },
    "commit": commit(),
    "num_devices": jax.device_count(),
    "num_cores": os.cpu_count(),
    "python": platform.python_version(),
    "versions": {name: _version(name) for name in _PACKAGES},
  }


def commit() -> str | None:
  """Names the version of this code.

  Returns:
    FACEREP_COMMIT, where that is set; otherwise the commit of the checkout,
    with "-dirty" where files differ from it; None outside a checkout.
  """
  given = os.environ.get("FACEREP_COMMIT")
  root = pathlib.Path(__file__).resolve().parents[2]
  if given or not (root / ".git").exists():
    return given or None
  describe = ("describe", "--always", "--dirty", "--abbrev=40", "--exclude=*")
  try:
    done = subprocess.run(
      ["git", "-C", root, *describe],
      capture_output=True,
      text=True,
      check=False,
    )
  except OSError:
    return None
  return done.stdout.strip() or None


def _version(package):
  try:
    return importlib.metadata.version(package)
  except importlib.metadata.PackageNotFoundError:
    return None


def table(section: Section) -> str:
  """Renders the rows of a section as a Markdown table."""
  lines = [[column.title for column in section.columns]]
  for row in section.rows:
    lines.append([_cell(row[column.key], column) for column in section.columns])
  widths = [max(len(cell) for cell in cells) for cells in zip(*lines)]
  lines.insert(1, ["-" * width for width in widths])
  return "\n".join(
    "| " + " | ".join(c.ljust(w) for c, w in zip(cells, widths)) + " |"
    for cells in lines
  )


def _cell(value, column):
  return column.missing if value is None else format(value, column.spec)


def markdown(where: dict[str, object], sections: list[Section]) -> str:
  """Renders a whole report.

  Args:
    where: What `machine` returned, with `load_before` and `load_after`, the
      one-minute load averages of the system.
    sections: The results.

  Returns:
    Markdown text.
  """
  versions = ", ".join(
    f"{name} {version}"
    for name, version in where["versions"].items()
    if version is not None
  )
  parts = [
    f"{where['date']}, {where['platform']}, {where['num_cores']} cores, "
    f"{where['num_devices']} x {where['device_kind']} ({where['backend']}); "
    f"load average {where['load_before']:.1f} before, "
    f"{where['load_after']:.1f} after. Python {where['python']}, {versions}. "
    f"Commit {where['commit'] or 'unknown'}."
  ]
  for section in sections:
    parts += [f"## {section.title}", table(section), *section.notes]
  return "\n\n".join(parts) + "\n"


def as_json(where: dict[str, object], sections: list[Section]) -> dict:
  """Returns a whole report as plain values: format, machine, results."""
  return {
    "format": FORMAT,
    "machine": where,
    "results": {section.name: section.rows for section in sections},
  }


def begin() -> dict[str, object]:
  """Returns what `machine` says, with `load_before` of this moment."""
  return machine() | {"load_before": os.getloadavg()[0]}


def save(
  folder: pathlib.Path, where: dict[str, object], sections: list[Section]
) -> None:
  """Writes benchmark.md and benchmark.json into a folder.

  Args:
    folder: Where to.
    where: What `begin` returned; `load_after` becomes that of this moment.
    sections: The tables.
  """
  where["load_after"] = os.getloadavg()[0]
  atomic.write_text(folder / "benchmark.md", markdown(where, sections))
  text = json.dumps(as_json(where, sections), indent=2, allow_nan=False)
  atomic.write_text(folder / "benchmark.json", text + "\n")
