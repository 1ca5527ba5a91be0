"""The report of an evaluation: results.json, and one page to look at.

The page is a single file that runs no script and asks for nothing over the
network; it is drawn from what results.json holds, and from pictures. Its
templates are the files in `page/`.
"""

import base64
import contextlib
import functools
import io
import json
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from facerep_jax import errors
from facerep_jax.evaluators import gallery, plots, results
from facerep_jax.files import atomic

_BASELINES = ("pixels", "hog", "random", "supervised")
_KIND_NAMES = {
  "pixels": "pixels (PCA)",
  "hog": "HOG",
  "random": "random weights",
  "supervised": "supervised",
}


def write(
  folder: str | os.PathLike,
  measured: dict[str, Any],
  pictures: Mapping[int, Mapping[str, Sequence[gallery.Picture]]],
) -> None:
  """Writes results.json and report.html; each whole or not at all.

  Args:
    folder: Where to; made if it is not there.
    measured: The results, as docs/evaluation.md describes. NumPy values and
      `base.Score` are taken too; numbers that are not finite become null.
    pictures: Number of a task to its "best" and "worst" pictures.

  Raises:
    InputError: The results lack a key, hold an unknown one or a wrong value,
      pictures name a task that is not there, or a module of the extra
      "evaluation" is not installed. Nothing is written then.
  """
  text = results.dumps(results.complete(measured))
  page_text = page(json.loads(text), pictures)
  with contextlib.ExitStack() as both:
    for name, content in (("results.json", text), ("report.html", page_text)):
      temporary = both.enter_context(atomic.whole(pathlib.Path(folder) / name))
      # A file's name in a caption may be no Unicode.
      temporary.write_text(content, encoding="utf-8", errors="backslashreplace")


def page(
  complete: dict[str, Any],
  pictures: Mapping[int, Mapping[str, Sequence[gallery.Picture]]],
) -> str:
  """Renders the report.

  Args:
    complete: What `results.complete` or `results.read` returned.
    pictures: As in `write`.

  Returns:
    HTML.

  Raises:
    InputError: Pictures name a task that is not there, or another group of
      pictures than "best" and "worst"; or a module of the extra "evaluation" is
      not installed.
  """
  tasks = complete["tasks"]
  for i, groups in pictures.items():
    if i not in range(len(tasks)) or not groups.keys() <= {"best", "worst"}:
      raise errors.InputError(
        f"pictures[{i!r}]: holds {sorted(groups)}; expected the number of one "
        f'of {len(tasks)} tasks, with "best" and "worst".'
      )
  leakage = complete["leakage"]
  return _template("report.html").render(
    run=complete["run"],
    facts=_facts(complete),
    is_quick=complete.get("quick", False),
    baselines=[_KIND_NAMES[kind] for kind in _BASELINES],
    tasks=[_task(i, task, pictures.get(i, {})) for i, task in enumerate(tasks)],
    leakage=None if leakage is None else _leakage(leakage),
  )


def lines(tasks: Sequence[dict[str, Any]]) -> list[str]:
  """Summarises tasks for a terminal.

  Args:
    tasks: Of results, complete or not yet.

  Returns:
    One line a task: its main score for the run, and for the baselines.
  """
  texts = []
  for task in results.complete_tasks(tasks):
    metric, own = task["metrics"][0], results.own(task)
    digits = _digits(task, metric)
    score = own["scores"][metric]
    value, low, high = (_number(score[end], digits) for end in _ENDS)
    others = [
      f"{_KIND_NAMES[kind]} {_number(other['value'], digits)}"
      for kind, other in _baselines(task, metric)
      if other is not None
    ]
    texts.append(
      f"{results.heading(task)}: {_column(task, metric)} {value} "
      f"[{low}, {high}] {score['unit']}".rstrip()
      + (f"; {', '.join(others)}" if others else "")
    )
  return texts


@functools.cache
def _template(name):
  """Returns a page's template; what it does not escape, it holds itself."""
  jinja2 = errors.require("jinja2", "evaluation", "a report")
  environment = jinja2.Environment(
    loader=jinja2.PackageLoader("facerep_jax.evaluators", "page"),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
  )
  environment.filters["base64"] = lambda png: base64.b64encode(png).decode()
  return environment.get_template(name)


def _facts(complete):
  config = complete["config"]
  return [
    ("run", f"{complete['run']}, step {complete['step']:,}"),
    ("configuration", f"{config['system']}, {config['preset']}"),
    ("compared with", ", ".join(complete["compare"]) or "no other run"),
    ("measured", f"{complete['date']}, on {complete['device']}"),
  ]


def _baselines(task, metric):
  """Returns (kind, score) of the first feature of each kind of baseline."""
  found = []
  for kind in _BASELINES:
    entries = [e for e in task["entries"] if e["kind"] == kind]
    found.append((kind, entries[0]["scores"].get(metric) if entries else None))
  return found


def _task(i, task, pictures):
  """Returns what the template shows of a task."""
  return {
    "number": i,
    "heading": results.heading(task),
    "columns": [_column(task, metric) for metric in task["metrics"]],
    "summary": _summary(task),
    "protocol": task["protocol"],
    "amounts": _amounts(task),
    "rows": _rows(task),
    "plots": list(_plots(task)),
    "folds": _folds(task),
    "galleries": [
      _gallery(f"{group} test images", pictures[group])
      for group in ("best", "worst")
      if pictures.get(group)
    ],
  }


def _summary(task):
  """Returns the main score of the run, then those of its baselines."""
  metric = task["metrics"][0]
  own = results.own(task)["scores"][metric]
  digits = _digits(task, metric)
  return [
    _cell(own, digits),
    *(_cell(score, digits, own) for _, score in _baselines(task, metric)),
  ]


def _amounts(task):
  """Says what was trained and measured on how much."""
  is_pairs = task["task"].startswith("verification")
  what = "pairs" if is_pairs else "images"
  people = ""
  if task["num_people"] is not None:
    people = f" of {task['num_people']:,} people"
  elif not is_pairs:
    people = " (people unknown: each image counts as one)"
  trained = "No linear probe was trained here"
  if task["num_train"]:
    is_cosine = task["task"] == "verification"
    rule = "Threshold chosen" if is_cosine else "Linear probe trained"
    trained = f"{rule} on {task['num_train']:,} {what}"
  return (
    f"Split: {task['split']}. {trained}; measured on "
    f"{task['num_test']:,} {what}{people}. Crop: {task['crop']}."
  )


def _rows(task):
  """Returns all scores of all features of a task."""
  own = results.own(task)
  rows = []
  for entry in task["entries"]:
    cells = []
    for metric in task["metrics"]:
      score = entry["scores"].get(metric)
      cell = _cell(score, _digits(task, metric), own["scores"].get(metric))
      if cell and score["value"] is not None:
        cell["is_best"] = score["value"] == _best(task, metric)
      cells.append(cell)
    rows.append(
      {
        "feature": entry["feature"],
        "dim": entry["dim"],
        "is_own": entry is own,
        "scores": cells,
      }
    )
  return rows


def _plots(task):
  """Yields the names and PNGs of the plots that the details of a task allow."""
  details = results.own(task)["details"]
  yield ("main score by feature", plots.intervals(task))
  if task["task"] == "pose":
    yield ("error by angle", plots.grouped(task))
  if details.get("per_point"):
    yield ("error of each landmark", plots.points(task))
  if details.get("confusion"):
    yield ("confusion matrix of this run", plots.confusion(task))
  elif details.get("per_class"):
    yield ("score by class", plots.classes(task))
  if any(e["details"].get("roc") for e in task["entries"]):
    yield ("receiver operating characteristic", plots.roc(task))


def _folds(task):
  """Returns the main score in each fold, of the run's own entry."""
  values = results.own(task)["details"].get("per_fold") or []
  digits = results.decimals(values)
  return [_number(value, digits) for value in values]


def _leakage(table):
  """Returns what the template shows of the leakage."""
  values, factors = table["values"], table["factors"]
  digits = results.decimals(
    [cell[k] for row in values.values() for cell in row.values() for k in _ENDS]
  )
  rows = [
    {
      "feature": feature,
      "scores": [
        _cell(values[feature][factor] | {"unit": ""}, digits)
        for factor in factors
      ],
    }
    for feature in table["features"]
  ]
  return {
    "dataset": table["dataset"],
    "split": table["split"],
    "num_train": f"{table['num_train']:,}",
    "num_test": f"{table['num_test']:,}",
    "floor": table["floor"],
    "ceiling": table["ceiling"],
    "columns": [results.words(factor) for factor in factors],
    "rows": rows,
    "plot": plots.leakage(table),
  }


def _gallery(title, pictures):
  shown = []
  for picture in pictures:
    out = io.BytesIO()
    gallery.enlarge(picture).save(out, format="PNG")
    shown.append((picture.caption, out.getvalue()))
  has_points = any(
    points is not None
    for picture in pictures
    for points in (picture.true_points, picture.predicted_points)
  )
  return {"title": title, "has_points": has_points, "pictures": shown}


_ENDS = ("value", "low", "high")


def _digits(task, metric):
  scores = [e["scores"].get(metric, {}) for e in task["entries"]]
  return results.decimals([s.get(end) for s in scores for end in _ENDS])


def _cell(score, digits, own=None):
  """Returns the texts of a score in a table; None where there is none."""
  if score is None:
    return None
  texts = {end: _number(score[end], digits) for end in _ENDS}
  return texts | {
    "unit": score["unit"],
    "mark": _mark(score, own),
    "is_best": False,
  }


def _number(value, digits):
  return "-" if value is None else f"{value:.{digits}f}"


def _mark(score, own):
  """Returns "better" or "worse" where a score's interval is apart from own."""
  if own is None or None in [s[end] for s in (score, own) for end in _ENDS[1:]]:
    return ""
  if score["low"] > own["high"]:
    is_better = score["is_higher_better"]
  elif score["high"] < own["low"]:
    is_better = not score["is_higher_better"]
  else:
    return ""
  return "better" if is_better else "worse"


def _best(task, metric):
  scores = [
    e["scores"][metric] for e in task["entries"] if metric in e["scores"]
  ]
  values = [s["value"] for s in scores if s["value"] is not None]
  choose = max if scores[0]["is_higher_better"] else min
  return choose(values, default=None)


def _column(task, metric):
  score = next(
    e["scores"][metric] for e in task["entries"] if metric in e["scores"]
  )
  return f"{results.words(metric)} {'↑' if score['is_higher_better'] else '↓'}"
