import jax
import numpy as np
import pytest

from facerep_jax.benchmarks import autoencoder, compiled, report, timing
from tests import tiny_face


@pytest.fixture(autouse=True)
def _optax_mixes_types():
  with jax.numpy_dtype_promotion("standard"):
    yield


def config(**changes):
  return tiny_face.config("", **changes)


def test_a_row_per_config(monkeypatch):
  seconds = {"step": (0.5, 0.4, 0.6), "render": (0.1, 0.1, 0.1)}
  asked = []

  def fake(name, metrics):
    def compile_it(config):
      asked.append((name, config.batch_size))
      return compiled.Program(lambda: metrics, 1.5, 3_000_000)

    return compile_it

  monkeypatch.setattr(
    autoencoder, "compile_step", fake("step", {"num_lost": 2.0})
  )
  monkeypatch.setattr(autoencoder, "compile_drawing", fake("render", None))
  monkeypatch.setattr(
    timing,
    "by_turns",
    lambda work, limit_s: {n: timing.Times(seconds[n]) for n in work},
  )
  section = autoencoder.measure(
    [config(batch_size=4), config(batch_size=3, model__num_frames=2)]
  )
  assert asked == [(n, b) for b in (4, 3) for n in ("step", "render")]
  first, second = section.rows
  assert (first["images_per_s"], second["images_per_s"]) == (8, 12)
  for row in section.rows:
    assert {column.key for column in section.columns} <= set(row)
    assert (row["preset"], row["size_px"], row["width"]) == ("demo", 64, 16)
    assert row["render_share"] == pytest.approx(0.2)
    assert row["step_spread"] == pytest.approx(0.4)
    assert (row["step_mb"], row["num_lost"], row["compile_s"]) == (3, 2, 1.5)
  assert report.table(section)


def test_steps_go_on():
  smaller = {"model__use_confidence": False, "model__perceptual": "none"}
  step = autoencoder.compile_step(config(**smaller))
  first, second = step.call(), step.call()
  assert first["loss"] != second["loss"]
  assert first["num_lost"] == 0
  # The pictures of both faces and their mirrors, at least.
  assert step.memory_bytes > 4 * 4 * 64 * 64 * 3


def test_every_face_is_drawn_twice():
  drawing = autoencoder.compile_drawing(config(model__num_frames=3))
  (_, colour), gradient = drawing.call()
  assert colour.shape == (12, 64, 64, 3)
  for name in ("depth", "colour", "view"):
    assert gradient[name].shape[0] == 12
    assert np.abs(gradient[name]).max() > 0
