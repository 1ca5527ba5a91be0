import numpy as np

from facerep_jax.ablation import rows, table
from facerep_jax.evaluators import bootstrap


def test_table(tmp_path):
  score = {"value": 91.26, "low": 90.0, "high": 92.44}
  columns = rows.COLUMNS["fabnet"][:1]
  table.write(tmp_path, {"the run": {"scores": [score]}}, columns)
  lines = (tmp_path / table.FILE).read_text().splitlines()
  assert lines == [
    "|  | expression AUC, % |",
    "| --- | --- |",
    "| the run | 91.3 [90.0, 92.4] |",
  ]


def test_a_difference_is_seen_where_intervals_overlap(tmp_path):
  rng = np.random.default_rng(0)
  hard = rng.normal(60, 3, 1000)
  rows_of = {}
  for name, more in (("one", 0.0), ("other", 1.0)):
    drawn = hard + more + rng.normal(0, 0.1, 1000)
    low, high = bootstrap.ends(drawn)
    score = {"value": 60 + more, "low": low, "high": high, "drawn": drawn}
    rows_of[name] = {"scores": [score]}
  table.write(tmp_path, rows_of, rows.COLUMNS["latentface"][:1])
  lines = (tmp_path / table.FILE).read_text().splitlines()
  assert lines[3].startswith("| other | 61.0 [5")
  assert "Differences from one:" in lines
  # Two deviations of the difference of two draws.
  assert lines[-1] == "| other | +1.0 [+0.7, +1.3] |"


def test_scores_without_an_interval_have_a_dash(tmp_path):
  score = {"value": 60.0, "low": None, "high": None, "drawn": [None, None]}
  found = {name: {"scores": [score]} for name in ("one", "other")}
  table.write(tmp_path, found, rows.COLUMNS["latentface"][:1])
  text = (tmp_path / table.FILE).read_text()
  assert "| one | 60.0 [-, -] |" in text
  assert "| other | +0.0 [-, -] |" in text
