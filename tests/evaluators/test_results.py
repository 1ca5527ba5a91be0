import copy
import json
import sys

import jsonschema
import numpy as np
import pytest

from facerep_jax import errors
from facerep_jax.evaluators import base, results, results_schema
from tests.evaluators import report_sample


def test_complete_results_survive_json():
  complete = results.complete(report_sample.sample())
  assert json.loads(results.dumps(complete)) == complete
  assert results.complete(complete) == complete


def test_reading_gives_what_was_written_and_keeps_the_main_score(tmp_path):
  complete = results.complete(report_sample.sample())
  path = tmp_path / "results.json"
  path.write_text(results.dumps(complete))
  read = results.read(path)
  assert read == complete
  # Sorted keys would put "failures" before "point_error".
  assert read["tasks"][0]["metrics"] == ["point_error", "failures"]
  assert next(iter(read["tasks"][0]["entries"][0]["scores"])) == "failures"


def test_keys_are_sorted_and_the_text_does_not_depend_on_their_order():
  sample = report_sample.sample()
  turned = dict(reversed(sample.items()))
  text = results.dumps(results.complete(sample))
  assert text == results.dumps(results.complete(turned))
  assert list(json.loads(text)) == sorted(sample)


def test_numbers_become_plain_and_those_that_are_not_finite_none():
  value = {
    "a": np.float32(0.5),
    "b": np.array([[1, 2], [3, 4]]),
    "c": [np.nan, float("inf"), -np.inf, np.float64(2.0)],
    "d": (True, np.bool_(False), np.int64(3)),
    "e": base.Score(1.0, np.nan, 2.0, "%", True),
  }
  assert results.plain(value) == {
    "a": 0.5,
    "b": [[1, 2], [3, 4]],
    "c": [None, None, None, 2.0],
    "d": [True, False, 3],
    "e": {
      "value": 1.0,
      "low": None,
      "high": 2.0,
      "unit": "%",
      "is_higher_better": True,
    },
  }
  got = results.plain(np.float64(0.1))
  assert type(got) is float and type(results.plain(np.int64(3))) is int


@pytest.mark.parametrize("value", [{1: 2}, {"a": {2}}, [b"x"], {"a": 1j}])
def test_what_json_cannot_hold_is_refused(value):
  with pytest.raises(errors.InputError, match="results"):
    results.plain(value)


def _at(sample, path):
  for key in path[:-1]:
    sample = sample[key]
  return sample, path[-1]


_ENTRY = ("tasks", 0, "entries", 1)


@pytest.mark.parametrize(
  "path",
  [
    ("step",),
    ("leakage",),
    ("tasks", 0, "protocol"),
    ("tasks", 1, "num_people"),
    (*_ENTRY, "dim"),
    (*_ENTRY, "scores", "point_error", "low"),
    ("leakage", "floor"),
    ("leakage", "values", "albedo"),
    ("leakage", "values", "albedo", "yaw"),
    ("leakage", "values", "albedo", "yaw", "scaled"),
  ],
)
def test_a_missing_key_is_named(path):
  sample = copy.deepcopy(report_sample.sample())
  where, key = _at(sample, path)
  del where[key]
  with pytest.raises(errors.InputError, match=f"'{key}' is missing") as caught:
    results.complete(sample)
  assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
  "path",
  [
    ("extra",),
    ("tasks", 0, "extra"),
    (*_ENTRY, "extra"),
    (*_ENTRY, "scores", "point_error", "extra"),
    ("leakage", "extra"),
    ("leakage", "values", "extra"),
    ("leakage", "values", "albedo", "yaw", "extra"),
  ],
)
def test_an_unknown_key_is_named(path):
  sample = copy.deepcopy(report_sample.sample())
  where, key = _at(sample, path)
  where[key] = {}
  with pytest.raises(errors.InputError, match="unknown key 'extra'"):
    results.complete(sample)


@pytest.mark.parametrize(
  ("path", "value", "message"),
  [
    (("format",), 2, r"results\.format: expected 1, got 2"),
    (("format",), True, r"results\.format: expected 1, got True"),
    (("run",), "/home/me/run", "without its path"),
    (("step",), 1.5, r"results\.step: expected an int of 0"),
    (("step",), True, r"results\.step: expected an int of 0"),
    (("step",), 20000.0, r"results\.step: expected an int of 0"),
    (("config",), [], r"results\.config: expected a dict"),
    (
      ("config",),
      {"system": "fabnet"},
      r"results\.config: the key 'preset' is missing; expected system, preset",
    ),
    (
      ("config", "system"),
      1,
      r"results\.config\.system: expected a str, got 1",
    ),
    (("config", "x"), "", r"results\.config: unknown key 'x'"),
    (("compare",), ["a", 1], r"results\.compare\[1\]: expected a str, got 1"),
    (("tasks", 0), 1, r"results\.tasks\[0\]: expected a dict"),
    ((*_ENTRY,), None, r"entries\[1\]: expected a dict"),
    (("tasks",), {}, r"results\.tasks: expected a list"),
    (("leakage",), [], r"results\.leakage: expected a dict or None"),
    (("tasks", 2, "task"), "poses", r"tasks\[2\]\.task: expected one of land"),
    (("tasks", 2, "num_people"), 0, r"num_people: expected an int of 1"),
    ((*_ENTRY, "kind"), "net", r"tasks\[0\]\.entries\[1\]\.kind: expected one"),
    (
      (*_ENTRY, "scores", "point_error", "value"),
      "5",
      r"scores\.point_error\.value: expected a number",
    ),
    (
      (*_ENTRY, "scores", "point_error", "is_higher_better"),
      1,
      "expected True or False",
    ),
    (
      (*_ENTRY, "details", "per_point"),
      ["a"],
      r"details\.per_point\[0\]: expected a number or None, got 'a'",
    ),
    ((*_ENTRY, "details", "per_point"), 1, "per_point: expected a list of num"),
    (
      (*_ENTRY, "details", "roc"),
      [[0.1]],
      r"details\.roc\[0\]: expected a pair of numbers, got \[0\.1\]",
    ),
    ((*_ENTRY, "details", "roc"), [[0, 1, 2]], r"expected a pair of numbers"),
    (
      (*_ENTRY, "details", "per_class"),
      {"a": "b"},
      r"details\.per_class\.a: expected a number or None, got 'b'",
    ),
    ((*_ENTRY, "details", "per_class"), [], "expected a dict of numbers"),
    ((*_ENTRY, "details", "confusion"), [[1, 2]], "expected a square matrix"),
    (("tasks", 2, "entries", 0, "details", "classes"), ["a"], "square matrix"),
    (
      ("tasks", 0, "entries", 0, "kind"),
      "hog",
      r'tasks\[0\]\.entries: expected a list of dicts, one of kind "run"',
    ),
    (
      ("tasks", 0, "entries"),
      [],
      'expected a list of dicts, one of kind "run"',
    ),
    (
      ("tasks", 0, "entries", 0, "scores"),
      {},
      r"entries\[0\]\.scores: expected one score or more, got {}",
    ),
    (("tasks", 0, "metrics"), ["failures"], "metrics: expected"),
    (("leakage", "floor"), "x", "'x' is none of the features"),
  ],
)
def test_a_wrong_value_is_named(path, value, message):
  sample = copy.deepcopy(report_sample.sample())
  where, key = _at(sample, path)
  where[key] = value
  with pytest.raises(errors.InputError, match=message) as caught:
    results.complete(sample)
  assert "\n" not in str(caught.value)


def test_details_may_hold_more_than_the_report_shows():
  sample = report_sample.sample()
  sample["tasks"][0]["entries"][0]["details"]["threshold"] = np.float32(0.5)
  complete = results.complete(sample)
  assert complete["tasks"][0]["entries"][0]["details"]["threshold"] == 0.5


def test_scores_that_only_baselines_have_come_last():
  sample = report_sample.sample()
  extra = report_sample.score(3.0)
  sample["tasks"][0]["entries"][3]["scores"] = {
    "extra": extra,
    "failures": extra,
  }
  got = results.complete(sample)["tasks"][0]["metrics"]
  assert got == ["point_error", "failures", "extra"]


def test_the_main_score_is_one_of_the_run():
  sample = report_sample.sample()
  task = sample["tasks"][0]
  task["metrics"] = ["failures", "point_error"]
  assert results.complete(sample)["tasks"][0]["metrics"] == task["metrics"]
  del task["entries"][0]["scores"]["failures"]
  with pytest.raises(errors.InputError, match="own point_error"):
    results.complete(sample)


def test_the_own_entry_is_the_first_of_the_run():
  task = report_sample.sample()["tasks"][0]
  task["entries"] = task["entries"][::-1]
  assert results.own(task)["feature"] == "fabnet: embedding"


@pytest.mark.parametrize("text", ["", "[", "[]", '{"format": 1}'])
def test_reading_what_is_no_results_names_the_file(tmp_path, text):
  path = tmp_path / "results.json"
  path.write_text(text)
  with pytest.raises(errors.InputError, match=r"results\.json"):
    results.read(path)


@pytest.mark.parametrize(
  ("change", "message"),
  [
    ({"step": -1}, "results.step: expected an int of 0 or more, got -1. "),
    ({"extra": 1}, "results: unknown key 'extra'; expected format, run, "),
    (
      {"leakage": report_sample.leakage() | {"floor": "x"}},
      "results.leakage.floor: 'x' is none of the features ",
    ),
  ],
)
def test_reading_says_file_place_and_what_to_do(tmp_path, change, message):
  path = tmp_path / "results.json"
  wrong = results.plain(report_sample.sample() | change)
  path.write_text(results.dumps(wrong))
  with pytest.raises(errors.InputError) as caught:
    results.read(path)
  said = str(caught.value)
  assert said.startswith(f"{path}: {message}") and "\n" not in said
  assert said.endswith(". Evaluate the run again.")


def test_reading_without_jsonschema_names_the_extra(tmp_path, monkeypatch):
  path = tmp_path / "results.json"
  path.write_text("{}")
  monkeypatch.setitem(sys.modules, "jsonschema", None)
  with pytest.raises(errors.InputError, match=r"facerep_jax\[evaluation\]"):
    results.read(path)


def test_the_schema_is_one_and_has_words_for_whatever_may_be_wrong():
  schema = results_schema.SCHEMA
  jsonschema.Draft202012Validator.check_schema(schema)

  def look(part):
    assert "description" in part, part
    children = [*part.get("properties", {}).values(), part.get("items")]
    children.append(part.get("additionalProperties"))
    for child in children:
      if child:
        look(child)

  look(schema)


def test_reading_a_missing_file_says_so(tmp_path):
  with pytest.raises(errors.InputError, match="is not there"):
    results.read(tmp_path / "results.json")


@pytest.mark.parametrize(
  ("values", "want"),
  [
    ([5.7, 10.2, None], 2),
    ([73.21], 2),
    ([-0.81], 3),
    ([0.0412], 4),
    ([1e-12], 6),
    ([0.0, None], 2),
    ([], 2),
  ],
)
def test_decimals_follow_the_largest_number(values, want):
  assert results.decimals(values) == want
