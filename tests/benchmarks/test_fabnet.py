import jax
import numpy as np
import pytest

from facerep_jax.benchmarks import compiled, fabnet, report, timing

KEYS = {
  *("size_px", "batch_size", "dtype", "work", "work_title", "num_turns"),
  *("gflop", "compiled_gflop", "tflops", "peak_share", "memory_mb"),
  *("compile_s", "first_s", "torch", "torch_failed"),
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
    fabnet.Ours,
    "compile",
    lambda self, work: compiled.Program(lambda: 0.1, 1.5, 3_000_000, 2e9),
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
    assert (row["memory_mb"], row["gflop"], row["torch"]) == (3, 2, {})
    assert row["tflops"] == pytest.approx(0.02)
    assert row["peak_share"] is None  # That of a CPU is not known.
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


class Torch:
  """Stands in for the module of the baseline."""

  def __init__(self):
    self.forms = []

  @staticmethod
  def device(backend):
    return backend

  def Baseline(self, state, sizes, frames, form, device):
    self.forms.append((form, device))

    class Baseline:
      def encode(self):
        if form.is_compiled:
          raise RuntimeError("no working\nC++ compiler")

      def train_step(self, **rates):
        self.encode()

    return Baseline()


def test_forms_of_torch_run_with_our_type_and_may_fail(monkeypatch):
  torch, seen = Torch(), []
  monkeypatch.setattr(fabnet, "find_baseline", lambda: (torch, ""))
  program = compiled.Program(lambda: None, 1.5, 3_000_000)
  monkeypatch.setattr(fabnet.Ours, "compile", lambda self, work: program)
  seconds = {"ours": 0.5, "eager": 2.0, "bfloat16": 0.25}
  monkeypatch.setattr(timing, "repeated", lambda call: call())
  monkeypatch.setattr(
    timing,
    "by_turns",
    lambda work, limit_s: {n: timing.Times((seconds[n],)) for n in work},
  )
  section = fabnet.measure(
    {32: 2},
    width=2,
    embed_dim=4,
    dtypes=("float32", "bfloat16"),
    torch_forms=("eager", "compile", "bfloat16"),
    so_far=lambda section: seen.append(len(section.rows)),
  )
  assert seen == [1, 2, 3, 4, 5, 6]
  assert torch.forms == [
    (fabnet.TORCH_FORMS[name], "cpu")
    for name in ("eager", "compile", "bfloat16")
  ]
  ours = [(row["dtype"], row["torch_format"]) for row in section.rows]
  assert ours == 3 * [("float32", "eager")] + 3 * [("bfloat16", "bfloat16")]
  assert [row["ratio"] for row in section.rows] == 3 * [4.0] + 3 * [0.5]
  failed = {"compile": "no working C++ compiler"}
  assert section.rows[0]["torch_failed"] == failed
  assert report.table(section)


def test_ratio_is_against_the_faster_format():
  times = {
    "ours": timing.Times((0.4, 0.5, 0.6)),
    "eager": timing.Times((2.0, 2.0, 2.0)),
    "channels_last": timing.Times((0.8, 1.0, 1.1)),
  }
  row = fabnet.compare(times, batch_size=8)
  assert row["ours_per_s"] == pytest.approx(16)
  assert row["torch_per_s"] == pytest.approx(8)
  assert row["torch_format"] == "channels_last"
  assert row["ratio"] == pytest.approx(1 / 0.5)
  assert row["ours_spread"] == pytest.approx(0.4)
  assert row["torch_spread"] == pytest.approx(0.3)
  assert row["ratio_of_best"] == pytest.approx(0.8 / 0.4)
  assert row["num_turns"] == 3
  assert row["torch"]["eager"] == {"per_s": 4, "spread": 0}
  assert set(row["torch"]) == {"eager", "channels_last"}


def test_steps_go_on_and_each_kind_of_work_starts_afresh(monkeypatch):
  ours = fabnet.Ours(size_px=32, batch_size=2, width=2, embed_dim=4)
  first = ours.torch_state()
  train = ours.compile("train_no_mask")
  assert train.first_s is None
  losses = [float(train.call()) for _ in range(2)]
  assert losses[0] != losses[1]
  assert train.first_s > 0
  encode = ours.compile("encode")
  assert encode.call().shape == (2, 4)
  # Kernels of 4 x 4, two images: 3 to 2 channels at 16 px, then 2 to 4, 8 and
  # 16 at half the side each, and the code. Borders are what is less.
  products = 16**2 * 3 * 2 + 8**2 * 2 * 4 + 4**2 * 4 * 8 + 2**2 * 8 * 16
  by_hand = 2 * 2 * 16 * (products + 16 * 4)
  assert encode.flops == pytest.approx(by_hand, rel=0.35)
  assert train.flops > 10 * encode.flops
  for name, value in ours.torch_state().items():
    np.testing.assert_array_equal(value, first[name])
  systems = []
  monkeypatch.setattr(ours, "_compile_train", systems.append)
  monkeypatch.setattr(ours, "_make", lambda use_mask: use_mask)
  ours.compile("train")
  ours.compile("train_no_mask")
  assert systems == [True, False]
