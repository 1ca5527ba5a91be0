"""The table of an ablation, as text to read."""

import os
import pathlib
from typing import Any

from facerep_jax.ablation import bench

FILE = "ablation.md"


def write(
  folder: pathlib.Path,
  found: dict[str, dict[str, Any]],
  columns: tuple[bench.Column, ...],
) -> None:
  """Writes the table.

  Args:
    folder: Where to.
    found: `scores` by row, one for each column.
    columns: Of the table.
  """
  head = ["", *(column.title for column in columns)]
  lines = [head, ["---"] * len(head)]
  lines += [[name, *map(_cell, row["scores"])] for name, row in found.items()]
  text = "\n".join(f"| {' | '.join(line)} |" for line in lines)
  temporary = folder / f"{FILE}.tmp"
  temporary.write_text(text + "\n")
  os.replace(temporary, folder / FILE)


def _cell(score):
  """A value with its interval."""
  value, low, high = (score[k] for k in ("value", "low", "high"))
  return f"{value:.1f} [{low:.1f}, {high:.1f}]"
