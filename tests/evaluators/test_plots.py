import copy
import io

import matplotlib
import numpy as np
import pytest
from PIL import Image

from facerep_jax.evaluators import plots, results
from tests.evaluators import report_sample

SAMPLE = results.complete(report_sample.sample())
LANDMARKS, POSE, EXPRESSION, UNITS, VERIFICATION, RECONSTRUCTION = SAMPLE[
  "tasks"
]
ALL = {
  "intervals": lambda: plots.intervals(LANDMARKS),
  "one interval": lambda: plots.intervals(RECONSTRUCTION),
  "grouped": lambda: plots.grouped(POSE),
  "points": lambda: plots.points(LANDMARKS),
  "confusion": lambda: plots.confusion(EXPRESSION),
  "roc": lambda: plots.roc(VERIFICATION),
  "classes": lambda: plots.classes(UNITS),
  "leakage": lambda: plots.leakage(SAMPLE["leakage"]),
}


def _pixels(png):
  return np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(int)


def _where(png, colour, within=12):
  """Returns rows and columns of pixels of a colour, such as "#0072B2"."""
  want = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)])
  return np.nonzero(np.abs(_pixels(png) - want).max(axis=-1) <= within)


@pytest.mark.parametrize("name", ALL)
def test_a_plot_shows_something_and_is_small(name):
  png = ALL[name]()
  pixels = _pixels(png)
  assert pixels.shape[1] == 720 and len(png) < 100_000
  is_ink = (pixels < 250).any(axis=-1)
  assert 0.01 < is_ink.mean() < 0.9
  # Something is drawn in every quarter of the height.
  assert all(part.any() for part in np.array_split(is_ink, 4))


@pytest.mark.parametrize("name", ALL)
def test_bytes_depend_on_the_data_alone(name):
  first = ALL[name]()
  with matplotlib.rc_context({"font.size": 20, "axes.grid": True}):
    assert ALL[name]() == first
  assert matplotlib.__version__.encode() not in first


def test_settings_of_matplotlib_are_left_alone():
  before = dict(matplotlib.rcParams)
  plots.intervals(LANDMARKS)
  assert dict(matplotlib.rcParams) == before


def test_a_larger_value_lies_further_right_and_its_interval_is_wider():
  task = copy.deepcopy(RECONSTRUCTION)
  task["entries"].append(copy.deepcopy(task["entries"][0]))
  task["entries"][1]["kind"] = "pixels"
  task["entries"][1]["scores"]["l1"] = report_sample.score(0.08, half=0.2)
  png = plots.intervals(task)
  run, pixels = _where(png, "#0072B2"), _where(png, "#E69F00")
  assert run[1].max() < pixels[1].min()
  assert run[0].mean() < pixels[0].mean()  # In the order of the entries.
  # Widths: 2 * 0.05 * 0.0412 and 2 * 0.2 * 0.08, a ratio of 7.8; markers of
  # some pixels and the ends of lines take part.
  ratio = np.ptp(pixels[1]) / np.ptp(run[1])
  assert 5.5 < ratio < 9.0


def test_bars_are_as_high_as_the_errors():
  task = copy.deepcopy(POSE)
  task["entries"] = task["entries"][:1]
  rows, columns = _where(plots.grouped(task), "#0072B2")
  is_bar = columns > 60  # Right of the axis; the key to colours is below.
  low = np.bincount(rows[is_bar], minlength=1000)
  base = np.nonzero(low > 200)[0].max()  # All four bars are there.
  heights = []
  for part in np.array_split(np.arange(90, 720), 4):
    inside = np.isin(columns, part) & (rows <= base)
    heights.append(base - rows[inside].min())
  want = np.array([6.2, 7.5, 5.1, 6.0])  # Mean, yaw, pitch, roll.
  # A pixel of some 250, twice.
  np.testing.assert_allclose(heights / heights[0], want / 6.2, atol=0.02)


def test_only_scores_in_the_main_unit_are_grouped():
  task = copy.deepcopy(POSE)
  for entry in task["entries"]:
    entry["scores"]["r2_yaw"]["value"] = 1e6
  assert plots.grouped(task) == plots.grouped(POSE)


def test_a_confusion_matrix_is_dark_where_its_rows_are_full():
  task = copy.deepcopy(EXPRESSION)
  details = results.own(task)["details"]
  # All images of class i are taken for i + 1; a class is empty.
  details["confusion"] = (np.roll(np.eye(7), 1, axis=1) * 50).tolist()
  details["confusion"][3] = [0] * 7
  rows, columns = _where(plots.confusion(task), "#08306B")  # Of 100 %.
  assert len(rows)
  edges = np.arange(8) / 7
  count, _, _ = np.histogram2d(
    (rows - rows.min()) / np.ptp(rows),
    (columns - columns.min()) / np.ptp(columns),
    (edges, edges),
  )
  cells = set(zip(*np.nonzero(count > count.max() / 2)))
  want = {(i, (i + 1) % 7) for i in range(7)} - {(3, 4)}
  assert cells == want


def test_a_better_curve_lies_higher():
  task = copy.deepcopy(VERIFICATION)
  task["entries"] = task["entries"][:2]
  far = np.logspace(-4, 0, 50)
  task["entries"][0]["details"]["roc"] = np.stack(
    [far, np.full(50, 0.9)], 1
  ).tolist()
  task["entries"][1]["details"]["roc"] = [
    [None, None],
    *np.stack([far, np.full(50, 0.3)], 1).tolist(),
  ]
  png = plots.roc(task)
  half = _pixels(png).shape[0] * 0.75  # Above the key to colours.
  run, other = (_where(png, c)[0] for c in ("#0072B2", "#999999"))
  assert run[run < half].mean() < other[other < half].mean() - 50


def test_classes_that_are_numbers_are_in_their_order():
  task = copy.deepcopy(UNITS)
  task["entries"] = task["entries"][:1]
  details = task["entries"][0]["details"]
  # As JSON with sorted keys has them: "0", "1", "10", "11", "2", ..
  names = sorted(map(str, range(12)))
  details["per_class"] = {name: int(name) / 12 for name in names}
  rows, columns = _where(plots.classes(task), "#0072B2")
  is_dot = columns > 100
  is_key = rows > rows[is_dot & (columns == columns[is_dot].max())].max() + 20
  rows, columns = rows[~is_key], columns[~is_key]
  # From the top left to the bottom right.
  assert np.corrcoef(rows, columns)[0, 1] > 0.99


def test_colours_of_leakage_run_from_floor_to_ceiling():
  table = copy.deepcopy(SAMPLE["leakage"])
  png = plots.leakage(table)
  dark, _ = _where(png, "#00224E", within=3)  # Cividis at 0.
  light, _ = _where(png, "#FEE838", within=3)  # And at 1.
  # The floor is the first row and the ceiling the last one; 720 px wide.
  assert np.median(dark) < np.median(light)


def test_a_score_that_cannot_be_scaled_is_legible():
  table = copy.deepcopy(SAMPLE["leakage"])
  for row in table["values"].values():
    for cell in row.values():
      cell["scaled"] = None
  shown = plots.leakage(table)
  for row in table["values"].values():
    for cell in row.values():
      cell["value"] = None
  # Cells are white: the small numbers make them darker.
  assert _pixels(shown).sum() < _pixels(plots.leakage(table)).sum()


def test_missing_numbers_and_odd_names_are_drawn():
  task = copy.deepcopy(LANDMARKS)
  for score in task["entries"][1]["scores"].values():
    score["value"] = score["low"] = score["high"] = None
  for entry in task["entries"]:
    entry["details"]["per_point"][3] = None
  task["entries"][2]["feature"] = "cost $5$ \\frac_{" + "x" * 90
  assert plots.intervals(task) != plots.intervals(LANDMARKS)
  assert plots.points(task) != plots.points(LANDMARKS)
  assert plots.grouped(task) != plots.grouped(LANDMARKS)


@pytest.mark.parametrize("count", [5, 12])
def test_other_numbers_of_points_are_drawn(count):
  task = copy.deepcopy(LANDMARKS)
  for entry in task["entries"]:
    entry["details"]["per_point"] = [1.0] * count
  is_ink = (_pixels(plots.points(task)) < 250).any(axis=-1)
  assert is_ink.mean() > 0.01


def test_points_without_errors_are_drawn():
  task = copy.deepcopy(LANDMARKS)
  for entry in task["entries"]:
    entry["details"]["per_point"] = [None] * 68
  assert (_pixels(plots.points(task)) < 250).any()
