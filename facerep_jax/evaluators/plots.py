"""Plots of an evaluation, each a small PNG; the same bytes for the same data.

Colours are Okabe and Ito's, told apart by colour-blind readers too; kinds of
features differ in their marker as well.
"""

import io
from collections.abc import Callable
from typing import Any

import numpy as np

from facerep_jax import errors
from facerep_jax.evaluators import results
from facerep_jax.synthetic import landmarks

_WIDTH_IN, _DPI = 4.5, 160  # Half as wide on a phone, and still legible.
_MAX_NAME = 34  # Characters; longer names are cut in plots alone.
_STYLES = {
  "run": ("#0072B2", "o"),
  "compare": ("#56B4E9", "s"),
  "supervised": ("#000000", "D"),
  "hog": ("#009E73", "^"),
  "pixels": ("#E69F00", "v"),
  "random": ("#999999", "X"),
  "baseline": ("#CC79A7", "P"),
}
_RC = {
  "font.size": 9.5,
  "axes.titlesize": 10,
  "axes.spines.top": False,
  "axes.spines.right": False,
  "text.parse_math": False,  # Names of features may hold a dollar sign.
}
_DASHES = ("-", "--", "-.", ":")
_ROC_FROM = 1e-3  # The least false accept rate that is shown.
# Eyes, tip of the nose, corners of the mouth; x to the right, y downwards.
_FIVE = np.array(
  [[-0.42, 0.02], [0.42, 0.02], [0.0, 0.37], [-0.35, 0.72], [0.35, 0.72]]
)


def _png(
  height_in: float, draw: Callable[[Any], None], width_in: float = _WIDTH_IN
) -> bytes:
  """Draws on a new figure; settings of the user's matplotlib do not count."""
  figure_module = errors.require("matplotlib.figure", "evaluation", "a report")
  style = errors.require("matplotlib.style", "evaluation", "a report")
  with style.context(["default", _RC]):
    figure = figure_module.Figure(
      (width_in, height_in), dpi=_DPI, layout="constrained"
    )
    draw(figure)
    out = io.BytesIO()
    # Without the version of matplotlib, which PNG would otherwise hold.
    figure.savefig(out, format="png", metadata={"Software": None})
  return out.getvalue()


def intervals(task: dict[str, Any]) -> bytes:
  """Plots a task's main score: a dot a feature, with its 95 % interval.

  Args:
    task: One of the tasks of complete results.

  Returns:
    A PNG.
  """
  metric = task["metrics"][0]
  entries = [e for e in task["entries"] if metric in e["scores"]]

  def draw(figure):
    axes = figure.add_subplot()
    for i, entry in enumerate(entries):
      _interval(axes, i, entry["scores"][metric], entry["kind"])
    axes.set_yticks(range(len(entries)), _names(entries))
    axes.set_ylim(len(entries) - 0.5, -0.5)
    axes.grid(axis="x", alpha=0.4)
    axes.set_xlabel(_label(task, metric))
    axes.set_title(results.heading(task), loc="left")

  return _png(1.0 + 0.28 * len(entries), draw)


def grouped(task: dict[str, Any]) -> bytes:
  """Plots all scores in the main one's unit as bars, grouped by score.

  Args:
    task: One of the tasks of complete results.

  Returns:
    A PNG.
  """
  scores = results.own(task)["scores"]
  unit = scores[task["metrics"][0]]["unit"]
  metrics = [
    m for m in task["metrics"] if m in scores and scores[m]["unit"] == unit
  ]
  entries = task["entries"]

  def draw(figure):
    axes = figure.add_subplot()
    width = 0.8 / len(entries)
    for i, entry in enumerate(entries):
      x = np.arange(len(metrics)) - 0.4 + (i + 0.5) * width
      rows = [entry["scores"].get(m, _NO_SCORE) for m in metrics]
      value, low, high = (_floats(rows, k) for k in ("value", "low", "high"))
      colour, _ = _STYLES[entry["kind"]]
      axes.bar(x, value, width * 0.9, color=colour, label=_names([entry])[0])
      axes.vlines(x, low, high, color="#555555", linewidth=1)
    axes.set_xticks(range(len(metrics)), [results.words(m) for m in metrics])
    axes.set_ylabel(unit)
    axes.grid(axis="y", alpha=0.4)
    axes.set_axisbelow(True)
    axes.set_title(_better(scores[metrics[0]]), loc="left")
    figure.legend(loc="outside lower center", ncols=2, frameon=False)

  return _png(2.6 + 0.1 * len(entries), draw)


def points(task: dict[str, Any]) -> bytes:
  """Plots the error of each landmark on a mean face.

  Args:
    task: A task whose own entry has `per_point` in its details.

  Returns:
    A PNG: the task's own entry, and beside it raw pixels where they were
    measured too. Other numbers of points than 68 and 5 are shown as bars.
  """
  first = results.own(task)
  entries = [first]
  entries += [
    e
    for e in task["entries"]
    if e["kind"] == "pixels"
    and len(e["details"].get("per_point", ())) == len(_per_point(first))
  ]
  entries = entries[:2]
  unit = first["scores"][task["metrics"][0]]["unit"]
  layout = _layout(len(_per_point(first)))

  def draw(figure):
    all_axes = figure.subplots(1, len(entries), squeeze=False)[0]
    known = [v for e in entries for v in e["details"]["per_point"] if v]
    largest = max(known, default=1.0)
    for axes, entry in zip(all_axes, entries):
      axes.set_title(_names([entry])[0], loc="left")
      shown = _draw_points(axes, _per_point(entry), layout, largest, unit)
    if layout is not None:
      at = {"location": "bottom", "shrink": 0.6, "aspect": 40}
      figure.colorbar(shown, ax=all_axes, label=f"error, {unit}", **at)

  return _png(3.3, draw)


def confusion(task: dict[str, Any]) -> bytes:
  """Plots the confusion matrix of a task's own entry, in % of each row.

  Args:
    task: A task whose own entry has `confusion` in its details: rows are true
      classes, columns predicted ones.

  Returns:
    A PNG.
  """
  details = results.own(task)["details"]
  counts = np.array(details["confusion"], float)
  total = counts.sum(axis=1, keepdims=True)
  share = 100 * counts / np.where(total > 0, total, 1)
  names = details["classes"]

  def draw(figure):
    axes = figure.add_subplot()
    shown = axes.imshow(share, cmap="Blues", vmin=0, vmax=100)
    for (i, j), value in np.ndenumerate(share):
      colour = _on(shown, value)
      axes.text(j, i, f"{value:.0f}", ha="center", va="center", color=colour)
    rows = [f"{n} ({t:.0f})" for n, t in zip(names, total[:, 0])]
    axes.set_yticks(range(len(names)), rows)
    axes.set_xticks(range(len(names)), names, rotation=45, ha="right")
    axes.set_xlabel("predicted")
    axes.set_ylabel("true (number of images)")
    axes.spines[:].set_visible(False)
    axes.set_title("confusion, % of each true class", loc="left")

  return _png(1.8 + 0.34 * len(names), draw)


def roc(task: dict[str, Any]) -> bytes:
  """Plots true against false accept rates of all entries that have them.

  Args:
    task: A task with `roc` in the details of one entry or more.

  Returns:
    A PNG; false accept rates on a logarithmic axis from 1e-3.
  """
  entries = [e for e in task["entries"] if e["details"].get("roc")]

  def draw(figure):
    axes = figure.add_subplot()
    for i, entry in enumerate(entries):
      far, tar = np.array(entry["details"]["roc"], float).T
      axes.plot(
        np.maximum(far, _ROC_FROM / 10),
        tar,
        _DASHES[i % len(_DASHES)],
        color=_STYLES[entry["kind"]][0],
        label=_names([entry])[0],
        drawstyle="steps-post",
      )
    ticks = [0.001, 0.01, 0.1, 1.0]
    axes.set_xscale("log")
    axes.set_xticks(ticks, [f"{t:g}" for t in ticks])
    axes.set_xticks([], minor=True)
    axes.set_xlim(_ROC_FROM, 1)
    axes.set_ylim(0, 1)
    axes.grid(alpha=0.4)
    axes.set_xlabel("false accept rate")
    axes.set_ylabel("true accept rate")
    axes.set_title("higher is better", loc="left")
    figure.legend(loc="outside lower center", ncols=2, frameon=False)

  return _png(2.8 + 0.1 * len(entries), draw)


def classes(task: dict[str, Any]) -> bytes:
  """Plots a number per class, a row a class, for all entries that have them.

  Args:
    task: A task whose own entry has `per_class` in its details.

  Returns:
    A PNG.
  """
  details = results.own(task)["details"]
  names = [n for n in details.get("classes", ()) if n in details["per_class"]]
  rest = set(details["per_class"]) - set(names)
  names += sorted(rest, key=lambda n: n.zfill(9) if n.isdigit() else n)
  entries = [e for e in task["entries"] if e["details"].get("per_class")]

  def draw(figure):
    axes = figure.add_subplot()
    for i, entry in enumerate(entries):
      values = entry["details"]["per_class"]
      colour, marker = _STYLES[entry["kind"]]
      axes.plot(
        [_float(values.get(name)) for name in names],
        range(len(names)),
        marker,
        color=colour,
        markersize=7 if entry["kind"] == "run" else 4,
        zorder=3 - 0.01 * i,  # The first comes on top.
        label=_names([entry])[0],
      )
    axes.set_yticks(range(len(names)), [results.words(n) for n in names])
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.grid(alpha=0.4)
    axes.set_xlabel(_label(task, task["metrics"][0]))
    axes.set_title("per class", loc="left")
    figure.legend(loc="outside lower center", ncols=2, frameon=False)

  return _png(1.2 + 0.22 * len(names) + 0.1 * len(entries), draw)


def leakage(table: dict[str, Any]) -> bytes:
  """Plots how well each factor is read out of each feature.

  Args:
    table: What complete results hold under `leakage`.

  Returns:
    A PNG: colour and large text are the score scaled from the floor (0) to the
    ceiling (1), small text is the score itself.
  """
  features, factors = table["features"], table["factors"]
  cells = [[table["values"][f][k] for k in factors] for f in features]
  scaled = np.array([[_float(c["scaled"]) for c in row] for row in cells])

  def draw(figure):
    axes = figure.add_subplot()
    shown = axes.imshow(scaled, cmap="cividis", vmin=0, vmax=1, aspect="auto")
    for (i, j), value in np.ndenumerate(scaled):
      colour = _on(shown, value)
      raw = cells[i][j]["value"]
      at = {"ha": "center", "color": colour}
      large = "-" if np.isnan(value) else f"{value:.2f}"
      axes.text(j, i, large, va="bottom", **at)
      small = "" if raw is None else f"{raw:.2f}"
      axes.text(j, i, small, va="top", fontsize=7, **at)
    wrapped = [_cut(f).replace(": ", ":\n") for f in features]
    axes.set_yticks(range(len(features)), wrapped)
    names = [_cut(results.words(f)) for f in factors]
    axes.set_xticks(range(len(factors)), names, rotation=45, ha="right")
    axes.spines[:].set_visible(False)
    axes.set_title("what each feature tells", loc="left")
    at = {"location": "bottom", "shrink": 0.6, "aspect": 40, "extend": "both"}
    figure.colorbar(shown, ax=axes, label="0: floor, 1: ceiling", **at)

  # What most features' names and one column take.
  width_in = max(_WIDTH_IN, 1.3 + 0.46 * len(factors))
  return _png(2.2 + 0.4 * len(features), draw, width_in)


_NO_SCORE = {"value": None, "low": None, "high": None}


def _interval(axes, row, score, kind):
  colour, marker = _STYLES[kind]
  if score["value"] is None:
    at = {"transform": axes.get_yaxis_transform(), "va": "center"}
    axes.text(0.02, row, "no value", **at)
    return
  if score["low"] is not None and score["high"] is not None:
    axes.hlines(row, score["low"], score["high"], color=colour, linewidth=2)
  axes.plot(score["value"], row, marker, color=colour)


def _label(task, metric):
  score = results.own(task)["scores"][metric]
  unit = f", {score['unit']}" if score["unit"] else ""
  return f"{results.words(metric)}{unit} ({_better(score)})"


def _better(score):
  return f"{'higher' if score['is_higher_better'] else 'lower'} is better"


def _names(entries):
  return [_cut(entry["feature"]) for entry in entries]


def _cut(name):
  return name if len(name) <= _MAX_NAME else name[: _MAX_NAME - 1] + "…"


def _per_point(entry):
  return [_float(value) for value in entry["details"]["per_point"]]


def _draw_points(axes, values, layout, largest, unit):
  """Draws one panel of `points`; returns what a colour bar belongs to."""
  if layout is None:
    axes.set_xlabel("number of the point")
    axes.set_ylabel(f"error, {unit}")
    axes.set_ylim(0, largest)
    return axes.bar(range(len(values)), values, color=_STYLES["run"][0])
  axes.set_aspect("equal")
  axes.invert_yaxis()
  axes.axis("off")
  return axes.scatter(
    *layout.T,
    c=values,
    vmin=0,
    vmax=largest,
    cmap="viridis_r",
    s=22 if len(layout) > 5 else 150,
    edgecolors="#555555",
    linewidths=0.5,
  )


def _layout(count):
  """Returns places [count, 2] on a mean face, y downwards; None if unknown."""
  if count == 68:
    # The chart is wrapped around the head: see it from the front.
    s, t = landmarks.fixed_points()
    return np.stack([np.sin(s), 1.4 * t], axis=1)
  return _FIVE if count == 5 else None


def _on(shown, value):
  """Returns the colour of text that is legible on a cell of a picture."""
  red, green, blue, _ = shown.to_rgba(value) if value == value else (1,) * 4
  return "black" if 0.3 * red + 0.59 * green + 0.11 * blue > 0.5 else "white"


def _floats(rows, key):
  return np.array([_float(row[key]) for row in rows])


def _float(value):
  return np.nan if value is None else float(value)
