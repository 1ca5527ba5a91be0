import numpy as np
import pytest

from facerep_jax.benchmarks import autoencoder, compiled, report, timing
from tests import tiny_face


def config(**changes):
  return tiny_face.config("", **changes)


def test_a_row_per_config(monkeypatch):
  seconds = {"step": (0.5, 0.4, 0.6), "render": (0.1, 0.1, 0.1)}
  asked = []

  def fake(name, metrics):
    def compile_it(config, *mesh):
      asked.append((name, config.batch_size))
      return compiled.Program(lambda: metrics, 1.5, 3_000_000)

    return compile_it

  monkeypatch.setattr(
    compiled, "training_step", fake("step", {"num_dropped": 2.0})
  )
  monkeypatch.setattr(autoencoder, "compile_drawing", fake("render", None))
  monkeypatch.setattr(
    timing,
    "by_turns",
    lambda work, limit_s: {n: timing.Times(seconds[n]) for n in work},
  )
  seen = []
  section = autoencoder.measure(
    [config(batch_size=4), config(batch_size=3, model__num_frames=2)],
    so_far=lambda section: seen.append(len(section.rows)),
  )
  assert seen == [1, 2]
  assert asked == [(n, b) for b in (4, 3) for n in ("step", "render")]
  first, second = section.rows
  assert (first["images_per_s"], second["images_per_s"]) == (8, 12)
  for row in section.rows:
    assert {column.key for column in section.columns} <= set(row)
    assert (row["preset"], row["size_px"], row["width"]) == ("demo", 64, 16)
    assert row["render_share"] == pytest.approx(0.2)
    assert row["step_spread"] == pytest.approx(0.4)
    assert (row["step_mb"], row["num_dropped"], row["compile_s"]) == (3, 2, 1.5)
  assert report.table(section)


@pytest.mark.parametrize(
  "changes, count",
  [
    ({"model__mirror": "both"}, 12),
    ({"model__mirror": "random"}, 6),
    ({"model__mirror": "both", "model__weights__mirror": 0.0}, 6),
  ],
)
def test_as_many_pictures_are_drawn_as_in_a_step(monkeypatch, changes, count):
  asked = []
  monkeypatch.setattr(
    autoencoder.render_benchmark,
    "face_batch",
    lambda size_px, num_drawn: asked.append((size_px, num_drawn)),
  )
  monkeypatch.setattr(
    autoencoder.render_benchmark, "compile_pass", lambda *args, **kwargs: None
  )
  autoencoder.compile_drawing(config(model__num_frames=3, **changes))
  assert asked == [(64, count)]


def test_drawing_has_a_gradient():
  drawing = autoencoder.compile_drawing(
    config(model__num_frames=3, model__mirror="both")
  )
  (_, colour), gradient = drawing.call()
  assert colour.shape == (12, 64, 64, 3)
  for name in ("depth", "colour", "view"):
    assert gradient[name].shape[0] == 12
    assert np.abs(gradient[name]).max() > 0
