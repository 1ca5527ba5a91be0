import jax
import jax.numpy as jnp
import numpy as np
import pytest

from facerep_jax.benchmarks import compiled, diffusion, report, timing


@pytest.fixture(autouse=True)
def _optax_mixes_types():
  with jax.numpy_dtype_promotion("standard"):
    yield


@pytest.fixture
def small(monkeypatch):
  """One network, short codes, few of them."""
  monkeypatch.setattr(diffusion, "NETS", ("depth",))
  monkeypatch.setattr(diffusion, "CODE_DIM", 8)
  monkeypatch.setattr(diffusion, "NUM_CODES", {"train": 3, "sample": 4})


def test_a_row_per_width_and_work(monkeypatch):
  seconds = {"dense": (0.1, 0.1, 0.2), "literal": (0.6, 0.4, 0.8)}
  results = {"dense": jnp.array([1.0, 3.0]), "literal": jnp.array([1.0, 4.0])}
  asked = []

  def fake(work):
    def compile_it(predict, weights, batch):
      asked.append((work, weights, len(batch["t"])))
      form = weights.split()[0]
      memory = {"dense": 1, "literal": 9}[form] * 1_000_000
      return compiled.Program(lambda: results[form], 1.5, memory)

    return compile_it

  monkeypatch.setattr(diffusion, "compile_step", fake("train"))
  monkeypatch.setattr(diffusion, "compile_sampler", fake("sample"))
  monkeypatch.setattr(diffusion, "first_weights", lambda width: width)
  monkeypatch.setattr(diffusion, "to_form", lambda form, w: f"{form} {w}")
  monkeypatch.setattr(
    timing,
    "by_turns",
    lambda work, limit_s: {n: timing.Times(seconds[n]) for n in work},
  )
  section = diffusion.measure((32, 64), limit_s=0)
  assert asked == [
    (work, f"{form} {width}", num)
    for width in (32, 64)
    for work, num in (("train", 16), ("sample", 128))
    for form in seconds
  ]
  assert [(row["width"], row["work"]) for row in section.rows] == [
    (width, work) for width in (32, 64) for work in ("train", "sample")
  ]
  for row in section.rows:
    assert {column.key for column in section.columns} <= set(row)
    assert (row["dense_ms"], row["literal_ms"]) == pytest.approx((100, 600))
    # Turn by turn: 6, 4, 4.
    assert row["ratio"] == pytest.approx(4)
    assert row["ratio_spread"] == pytest.approx(0.5)
    assert (row["dense_mb"], row["literal_mb"]) == (1, 9)
    assert row["difference"] == pytest.approx(0.25)
  assert report.table(section)


def test_real_work_is_timed_and_both_forms_do_the_same(small):
  section = diffusion.measure((32,), limit_s=0)
  for row in section.rows:
    assert row["dense_ms"] > 0 and row["literal_ms"] > 0
    # Float32; in training, after an update by Adam.
    assert 0 <= row["difference"] < 1e-4
    # Kernels of 3x3 are nine times as large, and so are their moments.
    assert row["literal_mb"] > 2 * row["dense_mb"]


def test_both_forms_begin_with_the_same_weights(small, monkeypatch):
  monkeypatch.setattr(diffusion, "NETS", ("albedo", "depth"))
  weights = diffusion.first_weights(32)
  rng = np.random.default_rng(0)
  noisy, code = rng.normal(size=(2, 3, 8)).astype(np.float32)
  t = np.array([10], np.int32)
  seen = {}
  for form, predict in diffusion.predictors(32).items():
    predict = jax.jit(predict)
    mine = diffusion.to_form(form, weights)
    seen[form] = np.stack(
      [predict(mine[net], noisy, code, t) for net in diffusion.NETS]
    )
  np.testing.assert_allclose(seen["dense"], seen["literal"], atol=1e-5)
  assert np.abs(seen["dense"][0] - seen["dense"][1]).max() > 0.01


def test_steps_go_on_and_leave_the_first_weights_alone(small):
  weights = diffusion.first_weights(32)
  step = diffusion.compile_step(
    diffusion.predictors(32)["dense"], weights, diffusion.made_up_batch(3)
  )
  losses = [float(step.call()) for _ in range(20)]
  assert losses[-1] < losses[0]
  assert all(np.isfinite(x).all() for x in jax.tree.leaves(weights))


def test_codes_are_those_of_rectifiers():
  batch = diffusion.made_up_batch(128)
  assert batch["t"].shape == (128,) and batch["t"].min() >= 0
  assert 500 < batch["t"].max() < 1000
  for net in diffusion.NETS:
    assert batch[net].shape == batch[f"{net}_noise"].shape == (128, 256)
    assert batch[net].min() == 0 and batch[f"{net}_noise"].min() < -3
