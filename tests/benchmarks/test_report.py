import json
import os
import re

import pytest

from facerep_jax.benchmarks import report

SECTION = report.Section(
  name="speed",
  title="Speed",
  columns=(
    report.Column("px", "px"),
    report.Column("rate", "rate, 1/s", ".1f"),
    report.Column("other", "other", ".2f", "not installed"),
  ),
  rows=[
    {"px": 64, "rate": 12.345, "other": None, "hidden": 1},
    {"px": 128, "rate": 3.0, "other": 0.125, "hidden": None},
  ],
  notes=("A note.",),
)


@pytest.fixture(scope="module")
def where():
  return report.machine() | {"load_before": 0.25, "load_after": 1.0}


def test_table_has_a_cell_per_column_and_row():
  lines = report.table(SECTION).splitlines()
  assert lines[0] == "| px  | rate, 1/s | other         |"
  assert set(lines[1]) == set("|- ")
  assert lines[2] == "| 64  | 12.3      | not installed |"
  assert lines[3] == "| 128 | 3.0       | 0.12          |"
  assert len({len(line) for line in lines}) == 1


def test_markdown_holds_machine_tables_and_notes(where):
  text = report.markdown(where, [SECTION])
  machine, heading, table, note = text.strip().split("\n\n")
  assert where["date"] in machine and f"{where['num_cores']} cores" in machine
  assert "load average 0.2 before, 1.0 after" in machine
  assert f"jax {where['versions']['jax']}" in machine
  assert heading == "## Speed" and table == report.table(SECTION)
  assert note == "A note."


def test_absent_packages_are_not_named(where):
  versions = {"jax": "1.2", "torch": None}
  text = report.markdown(where | {"versions": versions}, [])
  assert "jax 1.2" in text and "torch" not in text


def test_json_has_stable_keys(where):
  result = report.as_json(where, [SECTION])
  assert set(result) == {"format", "machine", "results"}
  assert result["results"] == {"speed": SECTION.rows}
  assert set(result["machine"]) == {
    *("date", "platform", "backend", "device_kind", "num_devices"),
    *("num_cores", "python", "versions", "load_before", "load_after"),
    *("commit", "device_memory_bytes", "peak_tflops"),
  }
  assert result["machine"]["device_kind"] == "cpu"
  assert result["machine"]["num_devices"] == 8
  # CPUs are not known.
  assert result["machine"]["device_memory_bytes"] is None
  unknown = {"bfloat16": None, "float32": None}
  assert result["machine"]["peak_tflops"] == unknown


def test_commit_is_that_of_the_checkout_or_as_told(monkeypatch, tmp_path):
  monkeypatch.delenv("FACEREP_COMMIT", raising=False)
  found = report.commit()
  if found is not None:  # A checkout, and git is there.
    assert re.fullmatch("[0-9a-f]{40}(-dirty)?", found)
  monkeypatch.setattr(report, "__file__", str(tmp_path / "a" / "b" / "c.py"))
  assert report.commit() is None
  monkeypatch.setenv("FACEREP_COMMIT", "v1.2")
  assert report.commit() == "v1.2"
  text = report.markdown(
    report.machine() | {"load_before": 0.0, "load_after": 0.0}, []
  )
  assert "Commit v1.2." in text


def test_machine_names_neither_host_nor_paths(where):
  text = json.dumps(where)
  assert os.uname().nodename not in text and os.sep not in text


def test_save_writes_both(tmp_path, where):
  report.save(tmp_path, where, [SECTION])
  text = (tmp_path / "benchmark.md").read_text()
  assert text == report.markdown(where, [SECTION])
  read = json.loads((tmp_path / "benchmark.json").read_text())
  assert read == report.as_json(where, [SECTION])
