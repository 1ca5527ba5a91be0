import base64
import configparser
import copy
import html.parser
import io
import json
import pathlib
import re
import subprocess
import sys

import jinja2
import numpy as np
import pytest
from PIL import Image

from facerep_jax import errors
from facerep_jax.evaluators import report, results
from tests.evaluators import report_sample

_VOID = {"meta", "img", "br"}


class _Page(html.parser.HTMLParser):
  """Reads a page into tables of texts, sources, links and figures."""

  def __init__(self, text):
    super().__init__()
    self.open, self.tags, self.references, self.images = [], set(), [], []
    self.tables, self.bold, self.ids = [], [], []
    self.feed(text)
    self.close()

  def handle_starttag(self, tag, attrs):
    attrs = dict(attrs)
    self.tags.add(tag)
    self.references += [attrs[k] for k in ("src", "href") if k in attrs]
    self.references += [k for k in attrs if k.startswith("on")]
    if "id" in attrs:
      self.ids.append(attrs["id"])
    if tag == "img":
      self.images.append(attrs)
    if tag not in _VOID:
      self.open.append(tag)
    if tag == "table":
      self.tables.append([])
    if tag == "tr":
      self.tables[-1].append([])
    if tag in ("td", "th"):
      self.tables[-1][-1].append("")

  def handle_endtag(self, tag):
    assert self.open.pop() == tag

  def handle_data(self, data):
    if "td" in self.open or "th" in self.open:
      self.tables[-1][-1][-1] += data
    if "b" in self.open and "td" in self.open:
      self.bold.append(data)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
  folder = tmp_path_factory.mktemp("report") / "new" / "folder"
  report.write(folder, report_sample.sample(), report_sample.pictures())
  text = (folder / "report.html").read_text(encoding="utf-8")
  read = results.read(folder / "results.json")
  return folder, text, _Page(text), read


def _numbers(cell):
  """Returns value, low, high of a cell, and half of its last decimal."""
  shown = re.match(r"(-?[\d.]+) \[(-?[\d.]+), (-?[\d.]+)\]", cell).groups()
  assert len({len(number.split(".")[1]) for number in shown}) == 1
  half = 0.5 * 10.0 ** -len(shown[0].split(".")[1])
  return [float(number) for number in shown], half


def test_the_folder_holds_the_two_files_alone(written):
  folder, _, _, read = written
  assert {p.name for p in folder.iterdir()} == {"results.json", "report.html"}
  assert read == results.complete(report_sample.sample())


def test_the_page_is_whole_and_asks_for_nothing(written):
  _, text, page, _ = written
  assert page.open == []
  assert not page.tags & {"script", "link", "iframe", "object", "form", "base"}
  for reference in page.references:
    assert reference.startswith("data:image/png;base64,") or (
      reference[0] == "#" and reference[1:] in page.ids
    )
  assert "<script" not in text and "url(" not in text and "@import" not in text
  assert "http://" not in text and "https://" not in text
  assert "prefers-color-scheme: dark" in text
  assert "width=device-width" in text


def test_every_picture_can_be_read_and_has_a_text(written):
  _, _, page, _ = written
  # 6 tasks; 5 plots of details; leakage; 4 best, 4 worst and 4 more.
  assert len(page.images) == 6 + 5 + 1 + 12
  for image in page.images:
    assert image["alt"]
    data = base64.b64decode(image["src"].split(",")[1], validate=True)
    assert np.asarray(Image.open(io.BytesIO(data))).std() > 1


def test_every_number_of_the_tables_is_that_of_the_json(written):
  _, _, page, read = written
  _, *tables, leakage = page.tables
  assert len(tables) == len(read["tasks"])
  seen = 0
  for task, table in zip(read["tasks"], tables):
    titles = [f"{m.replace('_', ' ')}" for m in task["metrics"]]
    assert [t.rstrip(" ↑↓") for t in table[0]] == ["feature", "width", *titles]
    assert len(table) == 1 + len(task["entries"])
    for entry, row in zip(task["entries"], table[1:]):
      assert row[:2] == [entry["feature"], str(entry["dim"])]
      for metric, cell in zip(task["metrics"], row[2:], strict=True):
        score = entry["scores"][metric]
        got, half = _numbers(cell)
        want = [score["value"], score["low"], score["high"]]
        np.testing.assert_allclose(got, want, atol=half * 1.0001)
        assert score["unit"] in cell
        seen += 1
  assert seen == 6 * (2 + 5 + 2 + 1 + 3) + 1
  values = read["leakage"]["values"]
  for row in leakage[1:]:
    for factor, cell in zip(read["leakage"]["factors"], row[1:], strict=True):
      got, half = _numbers(cell)
      want = [values[row[0]][factor][k] for k in ("value", "low", "high")]
      np.testing.assert_allclose(got, want, atol=half * 1.0001)


def test_the_summary_sets_the_run_beside_its_baselines(written):
  _, _, page, read = written
  names = ["this run", "pixels (PCA)", "HOG", "random weights", "supervised"]
  summary = page.tables[0]
  assert summary[0] == ["task", "score", *names]
  assert len(summary) == 1 + len(read["tasks"])
  kinds = ["run", "pixels", "hog", "random", "supervised"]
  for task, row in zip(read["tasks"][:-1], summary[1:]):
    for kind, cell in zip(kinds, row[2:], strict=True):
      entry = next(e for e in task["entries"] if e["kind"] == kind)
      got, half = _numbers(cell)
      want = entry["scores"][task["metrics"][0]]["value"]
      assert abs(got[0] - want) <= half * 1.0001
  assert summary[-1][3:] == ["-"] * 4  # Reconstruction has no baselines.


def test_lines_hold_the_main_scores():
  landmarks, *_, reconstruction = report.lines(report_sample.sample()["tasks"])
  assert landmarks == (
    "landmarks: synthetic, test: point error ↓ 5.71 [5.43, 6.00] %; "
    "pixels (PCA) 8.57, HOG 6.28, random weights 10.28, supervised 3.43"
  )
  assert reconstruction == (
    "reconstruction: synthetic, test: l1 ↓ 0.0412 [0.0391, 0.0433]"
  )


def test_the_best_is_bold_and_marks_follow_the_intervals(written):
  _, _, page, _ = written
  # Errors of 5.7 (the run), x 1.8, 1.5, 1.1, 0.6 and 1.05, each +- 5 %.
  marks = [row[2].split("%")[1].strip() for row in page.tables[1][1:]]
  assert marks == ["", "▼ worse", "▼ worse", "", "▲ better", ""]
  # Where higher is better, the same features get the same marks.
  marks = [row[2].split("%")[1].strip() for row in page.tables[3][1:]]
  assert marks == ["", "▼ worse", "▼ worse", "", "▲ better", ""]
  bold = "".join(page.bold)
  for value in ("3.43", "1.86", "3.72", "116.67"):  # All of "supervised".
    assert value in bold
  assert "5.71" not in bold


def test_the_page_states_how_it_was_measured(written):
  _, text, _, _ = written
  for words in (
    "Nothing was chosen on test data",
    "1000 resamples",
    "bootstrap over people",
    "Split: 10 folds",
    "Linear probe trained on 1,200 images",
    "measured on 300 images of 40 people",
    "each image counts as one",
    "Threshold chosen on 1,200 pairs; measured on 300 pairs.",
    "as in training",
    "Linear linear probe for pose.",
    "step 20,000",
    "fold by fold",
  ):
    assert words in text


def test_the_same_results_give_the_same_page(written, tmp_path):
  folder, _, _, read = written
  # Read from its file, the dicts have another order.
  report.write(tmp_path, read, report_sample.pictures())
  for name in ("results.json", "report.html"):
    assert (tmp_path / name).read_bytes() == (folder / name).read_bytes()


def _small():
  sample = report_sample.sample()
  return sample | {"tasks": sample["tasks"][:1]}


def test_names_are_escaped(tmp_path):
  bad = '<script src="http://x/">&"\''
  sample = _small()
  sample["run"] = bad.replace("/", "")
  sample["config"]["preset"] = sample["device"] = sample["date"] = bad
  sample["compare"] = [bad]
  task = sample["tasks"][0]
  for key in ("dataset", "split", "crop", "protocol"):
    task[key] = bad
  entry = task["entries"][0]
  entry["feature"] = bad
  entry["scores"] = {bad: report_sample.score(1.0, bad)}
  leakage = sample["leakage"]
  leakage["factors"][0] = leakage["features"][0] = leakage["floor"] = bad
  leakage["values"] = {
    f: {
      k: {"value": 1, "low": 0, "high": 2, "scaled": 0}
      for k in leakage["factors"]
    }
    for f in leakage["features"]
  }
  leakage["dataset"] = leakage["split"] = bad
  pictures = {0: {"best": [report_sample.pictures()[0]["best"][0]]}}
  pictures[0]["best"][0] = pictures[0]["best"][0]._replace(caption=bad)
  report.write(tmp_path, sample, pictures)
  text = (tmp_path / "report.html").read_text(encoding="utf-8")
  page = _Page(text)
  assert page.open == [] and "script" not in page.tags and "<script" not in text
  assert page.tables[1][1][0] == bad  # Shown as it is.


def test_scores_that_are_missing_or_not_finite_are_dashes(tmp_path):
  sample = _small() | {"leakage": None}
  first, second, third, *_ = sample["tasks"][0]["entries"]
  del second["scores"]["failures"]
  third["scores"]["point_error"] |= {"low": np.nan, "high": np.nan}
  third["scores"]["failures"]["value"] = float("inf")
  report.write(tmp_path, sample, {})
  text = (tmp_path / "report.html").read_text(encoding="utf-8")
  table = _Page(text).tables[1]
  assert table[2][3] == "-"
  assert table[3][2] == "8.57 [-, -] %"  # No interval, no mark.
  assert table[3][3].startswith("- [")
  raw = json.loads((tmp_path / "results.json").read_text())
  score = raw["tasks"][0]["entries"][2]["scores"]["point_error"]
  assert score["low"] is None


@pytest.mark.parametrize("module", ["jinja2", "jsonschema"])
def test_without_the_extra_nothing_is_written(module, tmp_path):
  # In a process of its own: what was imported once is kept.
  code = f"""
import sys
sys.modules[{module!r}] = None  # Importing it raises ModuleNotFoundError.
from facerep_jax import errors
from facerep_jax.evaluators import report
from tests.evaluators import report_sample
try:
  report.write({str(tmp_path)!r}, report_sample.sample(), {{}})
except errors.InputError as error:
  print(error)
"""
  done = subprocess.run(
    [sys.executable, "-c", code], capture_output=True, text=True, check=False
  )
  assert done.returncode == 0, done.stderr
  assert "facerep_jax[evaluation]" in done.stdout
  assert list(tmp_path.iterdir()) == []


def test_a_value_that_a_template_lacks_is_an_error():
  with pytest.raises(jinja2.UndefinedError, match="'is_quick' is undefined"):
    report._template("report.html").render()


def test_the_files_of_the_page_are_packaged():
  config = configparser.ConfigParser()
  config.read(pathlib.Path(report.__file__).parents[2] / "setup.cfg")
  data = config["options.package_data"]["facerep_jax.evaluators"].split()
  folder = pathlib.Path(report.__file__).parent
  packaged = {path for pattern in data for path in folder.glob(pattern)}
  assert packaged == set((folder / "page").iterdir())


def test_wrong_results_leave_what_is_there(tmp_path):
  small = _small() | {"leakage": None}
  report.write(tmp_path, small, {})
  before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
  with pytest.raises(errors.InputError, match="pictures"):
    report.write(tmp_path, small | {"step": 1}, {9: {"best": []}})
  with pytest.raises(errors.InputError, match="expected an int"):
    report.write(tmp_path, small | {"step": -1}, {})
  assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before


def test_a_caption_may_hold_a_file_name_that_is_no_unicode(tmp_path):
  picture = report_sample.pictures()[0]["best"][0]._replace(
    caption="b\udcfcste.png"
  )
  small = _small() | {"leakage": None}
  report.write(tmp_path, small, {0: {"best": [picture]}})
  text = (tmp_path / "report.html").read_text(encoding="utf-8")
  assert "b\\udcfcste.png" in text


@pytest.mark.parametrize("pictures", [{6: {}}, {"0": {}}, {0: {"good": []}}])
def test_pictures_belong_to_a_task(pictures):
  complete = results.complete(report_sample.sample())
  with pytest.raises(errors.InputError, match="pictures"):
    report.page(complete, pictures)


def test_a_report_without_tasks_or_leakage_can_be_written(tmp_path):
  sample = copy.deepcopy(report_sample.sample())
  sample |= {"tasks": [], "leakage": None}
  report.write(tmp_path, sample, {})
  assert _Page((tmp_path / "report.html").read_text()).tables == []
