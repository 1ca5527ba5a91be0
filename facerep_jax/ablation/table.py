"""The tables of an ablation, as text to read."""

import pathlib
from typing import Any

import numpy as np

from facerep_jax.ablation import bench
from facerep_jax.evaluators import bootstrap, results
from facerep_jax.files import atomic

FILE = "ablation.md"


def write(
  folder: pathlib.Path,
  found: dict[str, dict[str, Any]],
  columns: tuple[bench.Column, ...],
) -> None:
  """Writes two tables: the scores, and how far they are from the first row's.

  Brackets hold 95 % bootstrap intervals over people. Those of differences come
  from the same draws of people for both rows: where one leaves out 0, the rows
  differ, even if their own intervals overlap.

  Args:
    folder: Where to.
    found: `scores` by row, one for each column.
    columns: Of the tables.
  """
  scores = {name: row["scores"] for name, row in found.items()}
  first, *others = scores
  differences = {
    name: [_less(*pair) for pair in zip(scores[name], scores[first])]
    for name in others
  }
  text = _table(scores, columns, ".1f")
  if differences:
    text += f"\nDifferences from {first}:\n\n"
    text += _table(differences, columns, "+.1f")
  atomic.write_text(folder / FILE, text)


def _table(scores, columns, form):
  head = ["", *(column.title for column in columns)]
  lines = [head, ["---"] * len(head)]
  for name, row in scores.items():
    lines.append([name, *(_cell(score, form) for score in row)])
  return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _less(score, other):
  """The difference of two scores, with the interval on the same draws."""
  drawn = (np.array(x["drawn"], np.float64) for x in (score, other))
  ends = results.plain(bootstrap.ends(np.subtract(*drawn)))
  value = score["value"] - other["value"]
  return {"value": value, "low": ends[0], "high": ends[1]}


def _cell(score, form):
  """A value with its interval."""
  numbers = (score[k] for k in ("value", "low", "high"))
  value, low, high = ("-" if x is None else format(x, form) for x in numbers)
  return f"{value} [{low}, {high}]"
