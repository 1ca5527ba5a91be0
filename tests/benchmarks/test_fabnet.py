import jax
import numpy as np
import pytest

from facerep_jax.benchmarks import fabnet, report, timing

KEYS = {
  *("size_px", "batch_size", "work", "work_title", "compile_s", "num_turns"),
  *("ours_per_s", "ours_spread", "torch_per_s", "torch_spread"),
  *("torch_format", "ratio", "ratio_of_best"),
}


@pytest.fixture(autouse=True)
def _optax_mixes_types():
  with jax.numpy_dtype_promotion("standard"):
    yield


def test_rows_without_torch(monkeypatch):
  monkeypatch.setattr(fabnet.importlib.util, "find_spec", lambda name: None)
  monkeypatch.setattr(
    fabnet.Ours, "compile", lambda self, work: (lambda: 0.1, 1.5)
  )
  monkeypatch.setattr(timing, "repeated", lambda call: call)
  section = fabnet.measure({32: 2}, width=2, embed_dim=4, limit_s=0)
  assert [row["work"] for row in section.rows] == [
    *("train", "train_no_mask", "encode")
  ]
  for row in section.rows:
    assert set(row) == KEYS
    assert (row["size_px"], row["batch_size"]) == (32, 2)
    assert row["ours_per_s"] == pytest.approx(2 / 0.1)
    assert (row["ours_spread"], row["compile_s"]) == (0, 1.5)
    for key in ("torch_per_s", "torch_spread", "torch_format", "ratio"):
      assert row[key] is None
  assert {c.key for c in section.columns} <= KEYS
  for line in report.table(section).splitlines()[2:]:
    assert "| torch not installed |" in line


def test_torch_must_know_the_device(monkeypatch):
  class Module:
    @staticmethod
    def device(backend):
      return None

  monkeypatch.setattr(fabnet.importlib.util, "find_spec", lambda name: name)
  monkeypatch.setattr(fabnet.importlib, "import_module", lambda name: Module)
  assert fabnet.find_baseline() == (None, "torch has no cpu")


def test_ratio_is_against_the_faster_format():
  times = {
    "ours": timing.Times((0.4, 0.5, 0.6)),
    "contiguous": timing.Times((2.0, 2.0, 2.0)),
    "channels_last": timing.Times((0.8, 1.0, 1.1)),
  }
  row = fabnet.compare(times, batch_size=8, compile_s=3.0)
  assert row["ours_per_s"] == pytest.approx(16)
  assert row["torch_per_s"] == pytest.approx(8)
  assert row["torch_format"] == "channels_last"
  assert row["ratio"] == pytest.approx(1 / 0.5)
  assert row["ours_spread"] == pytest.approx(0.4)
  assert row["torch_spread"] == pytest.approx(0.3)
  assert row["ratio_of_best"] == pytest.approx(0.8 / 0.4)
  assert (row["compile_s"], row["num_turns"]) == (3.0, 3)


def test_steps_go_on_and_each_kind_of_work_starts_afresh(monkeypatch):
  ours = fabnet.Ours(size_px=32, batch_size=2, width=2, embed_dim=4)
  first = ours.torch_state()
  train, _ = ours.compile("train_no_mask")
  losses = [float(train()) for _ in range(2)]
  assert losses[0] != losses[1]
  encode, _ = ours.compile("encode")
  assert encode().shape == (2, 4)
  for name, value in ours.torch_state().items():
    np.testing.assert_array_equal(value, first[name])
  systems = []
  monkeypatch.setattr(ours, "_compile_train", systems.append)
  monkeypatch.setattr(ours, "_make", lambda use_mask: use_mask)
  ours.compile("train")
  ours.compile("train_no_mask")
  assert systems == [True, False]
