"""The report of an evaluation: results.json, and one page to look at.

The page is a single file that runs no script and asks for nothing over the
network; it is drawn from what results.json holds, and from pictures.
"""

import base64
import contextlib
import html
import io
import json
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from facerep_jax import errors
from facerep_jax.evaluators import gallery, plots, results, templates
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
    InputError: The results lack a key, hold an unknown one or a wrong value, or
      pictures name a task that is not there. Nothing is written then.
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
      pictures than "best" and "worst".
  """
  tasks = complete["tasks"]
  for i, groups in pictures.items():
    if i not in range(len(tasks)) or not groups.keys() <= {"best", "worst"}:
      raise errors.InputError(
        f"pictures[{i!r}]: holds {sorted(groups)}; expected the number of one "
        f'of {len(tasks)} tasks, with "best" and "worst".'
      )
  title = html.escape(f"Evaluation of {complete['run']}")
  parts = [f"<h1>{title}</h1>", _facts(complete)]
  if tasks:
    parts.append(_summary(tasks))
  for i, task in enumerate(tasks):
    parts.append(_task(i, task, pictures.get(i, {})))
  if complete["leakage"] is not None:
    parts.append(_leakage(complete["leakage"]))
  body = "\n".join(parts)
  return templates.PAGE.format(title=title, style=templates.STYLE, body=body)


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


def _facts(complete):
  config = complete["config"]
  facts = {
    "run": f"{complete['run']}, step {complete['step']:,}",
    "configuration": f"{config['system']}, {config['preset']}",
    "compared with": ", ".join(complete["compare"]) or "no other run",
    "measured": f"{complete['date']}, on {complete['device']}",
  }
  rows = "".join(
    f"<dt>{_text(name)}</dt><dd>{_text(value)}</dd>"
    for name, value in facts.items()
  )
  return f"<dl>{rows}</dl>\n{templates.HONESTY}"


def _summary(tasks):
  """Renders one line per task: the run beside its baselines."""
  rows = []
  for i, task in enumerate(tasks):
    metric = task["metrics"][0]
    own = results.own(task)
    digits = _digits(task, metric)
    cells = [
      f'<th scope="row"><a href="#task-{i}">{_text(results.heading(task))}</a>'
      f"</th><td>{_text(_column(task, metric))}</td>",
      f"<td>{_score(own['scores'][metric], digits)}</td>",
    ]
    for _, score in _baselines(task, metric):
      if score is None:
        cells.append("<td>-</td>")
        continue
      mark = _mark(score, own["scores"][metric])
      cells.append(f"<td>{_score(score, digits)}{mark}</td>")
    rows.append(f"<tr>{''.join(cells)}</tr>")
  names = ["task", "score", "this run", *(_KIND_NAMES[k] for k in _BASELINES)]
  return f"<h2>Summary</h2>\n{_table(names, rows)}"


def _baselines(task, metric):
  """Returns (kind, score) of the first feature of each kind of baseline."""
  found = []
  for kind in _BASELINES:
    entries = [e for e in task["entries"] if e["kind"] == kind]
    found.append((kind, entries[0]["scores"].get(metric) if entries else None))
  return found


def _task(i, task, pictures):
  parts = [
    f'<section id="task-{i}">',
    f"<h2>{_text(results.heading(task))}</h2>",
    f"<p>{_text(task['protocol'])}</p>",
    _amounts(task),
    _scores(task),
    *_plots(task),
    _folds(task),
  ]
  for group in ("best", "worst"):
    if pictures.get(group):
      parts.append(_gallery(f"{group} test images", pictures[group]))
  return "\n".join([part for part in parts if part] + ["</section>"])


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
    f"<p>Split: {_text(task['split'])}. {trained}; measured on "
    f"{task['num_test']:,} {what}{people}. Crop: {_text(task['crop'])}.</p>"
  )


def _scores(task):
  """Renders all scores of all features of a task."""
  own = results.own(task)
  names = [_column(task, metric) for metric in task["metrics"]]
  rows = []
  for entry in task["entries"]:
    head = "<tr class=own>" if entry is own else "<tr>"
    cells = [f'<th scope="row">{_text(entry["feature"])}</th>']
    cells.append(f"<td>{entry['dim']}</td>")
    for metric in task["metrics"]:
      score = entry["scores"].get(metric)
      if score is None:
        cells.append("<td>-</td>")
        continue
      shown = _score(score, _digits(task, metric))
      if score["value"] is not None and score["value"] == _best(task, metric):
        shown = f"<b>{shown}</b>"
      cells.append(f"<td>{shown}{_mark(score, own['scores'].get(metric))}</td>")
    rows.append(f"{head}{''.join(cells)}</tr>")
  return _table(["feature", "width", *names], rows)


def _plots(task):
  """Yields the plots that the details of a task allow."""
  details = results.own(task)["details"]
  yield _figure("main score by feature", plots.intervals(task))
  if task["task"] == "pose":
    yield _figure("error by angle", plots.grouped(task))
  if details.get("per_point"):
    yield _figure("error of each landmark", plots.points(task))
  if details.get("confusion"):
    yield _figure("confusion matrix of this run", plots.confusion(task))
  elif details.get("per_class"):
    yield _figure("score by class", plots.classes(task))
  if any(e["details"].get("roc") for e in task["entries"]):
    yield _figure("receiver operating characteristic", plots.roc(task))


def _folds(task):
  """Renders the folds of the run's own entry."""
  values = results.own(task)["details"].get("per_fold")
  if not values:
    return ""
  digits = results.decimals(values)
  shown = ", ".join(_number(value, digits) for value in values)
  return f"<p>This run, fold by fold: {shown}.</p>"


def _leakage(table):
  features, factors, values = (
    table[k] for k in ("features", "factors", "values")
  )
  digits = results.decimals(
    [cell[k] for row in values.values() for cell in row.values() for k in _ENDS]
  )
  rows = []
  for feature in features:
    cells = [
      f"<td>{_score(values[feature][factor] | {'unit': ''}, digits)}</td>"
      for factor in factors
    ]
    head = f'<th scope="row">{_text(feature)}</th>'
    rows.append(f"<tr>{head}{''.join(cells)}</tr>")
  names = ["feature", *(results.words(factor) for factor in factors)]
  return f"""<section id="leakage">
<h2>What each feature tells: {_text(table["dataset"])}, \
{_text(table["split"])}</h2>
<p>Each factor is read out of each feature: R2 for numbers, 2 AUC - 1 for \
expression, and for identity the share recognised on other tracks, scaled so \
that guessing has 0; so 0 is chance and 1 perfect. Linear probes trained on \
{table["num_train"]:,}, measured on {table["num_test"]:,} images. In the \
plot, 0 is what {_text(table["floor"])} reaches (floor), 1 what \
{_text(table["ceiling"])} reaches (ceiling); the table holds the scores \
themselves.</p>
{_table(names, rows)}
{_figure("linear probes of each factor", plots.leakage(table))}
</section>"""


def _gallery(title, pictures):
  cells = []
  legend = ""
  for picture in pictures:
    out = io.BytesIO()
    gallery.enlarge(picture).save(out, format="PNG")
    cells.append(_figure(picture.caption, out.getvalue(), is_captioned=True))
    if picture.true_points is not None or picture.predicted_points is not None:
      legend = " <small>true points: green; predicted: red crosses</small>"
  return (
    f"<h3>{_text(title)}{legend}</h3>\n"
    f'<div class="gallery">{"".join(cells)}</div>'
  )


def _figure(caption, png, is_captioned=False):
  data = base64.b64encode(png).decode()
  image = f'<img alt="{_text(caption)}" src="data:image/png;base64,{data}">'
  if is_captioned:
    image += f"<figcaption>{_text(caption)}</figcaption>"
  return f"<figure>{image}</figure>"


def _table(names, rows):
  head = "".join(f'<th scope="col">{_text(name)}</th>' for name in names)
  return (
    f'<div class="wide"><table><thead><tr>{head}</tr></thead>\n<tbody>'
    + "\n".join(rows)
    + "</tbody></table></div>"
  )


_ENDS = ("value", "low", "high")


def _digits(task, metric):
  scores = [e["scores"].get(metric, {}) for e in task["entries"]]
  return results.decimals([s.get(end) for s in scores for end in _ENDS])


def _score(score, digits):
  """Renders "value [low, high] unit"."""
  value, low, high = (_number(score[end], digits) for end in _ENDS)
  unit = f" {_text(score['unit'])}" if score["unit"] else ""
  return f"{value} <small>[{low}, {high}]{unit}</small>"


def _number(value, digits):
  return "-" if value is None else f"{value:.{digits}f}"


def _mark(score, own):
  """Says whether a score is apart from the run's own, by their intervals."""
  if own is None or None in [s[end] for s in (score, own) for end in _ENDS[1:]]:
    return ""
  if score["low"] > own["high"]:
    is_better = score["is_higher_better"]
  elif score["high"] < own["low"]:
    is_better = not score["is_higher_better"]
  else:
    return ""
  if is_better:
    return ' <span class="better">▲ better</span>'
  return ' <span class="worse">▼ worse</span>'


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


def _text(value):
  return html.escape(str(value))
