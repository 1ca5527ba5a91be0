import jax
import pytest

from configs import fabnet
from facerep_jax.benchmarks import compiled, devices, report, timing
from tests import tiny_face


@pytest.fixture
def asked(monkeypatch):
  """Notes what is compiled; a step on N devices takes 1 / N second."""
  asked = []

  def fake_step(config, mesh):
    count = mesh.devices.size
    asked.append((config.system, count))
    return compiled.Program(lambda: 1 / count, 1.0, 5_000_000)

  def fake_turns(work, limit_s):
    assert limit_s == 2.0 * len(work)
    return {
      name: timing.Times((call(), 2 * call(), call()))
      for name, call in work.items()
    }

  monkeypatch.setattr(compiled, "training_step", fake_step)
  monkeypatch.setattr(timing, "repeated", lambda call: call)
  monkeypatch.setattr(timing, "by_turns", fake_turns)
  return asked


def test_one_device_and_as_many_as_divide_the_batch(asked):
  configs = {
    "face": tiny_face.config("", batch_size=4, model__num_frames=3),
    "pair": fabnet.get_config("demo"),
  }
  section = devices.measure(configs, limit_s=2.0)
  assert asked == [
    ("latentface", 1),
    ("latentface", 4),
    ("fabnet", 1),
    ("fabnet", 8),
  ]
  face, faces, pair, pairs = section.rows
  assert (face["num_images"], pair["num_images"]) == (12, 64)
  assert (face["images_per_s"], faces["images_per_s"]) == (12, 48)
  assert (pairs["num_devices"], pairs["step_ms"]) == (8, 125)
  assert (face["ratio"], faces["ratio"], pairs["ratio"]) == (1, 4, 8)
  for row in section.rows:
    assert (row["spread"], row["ratio_spread"], row["num_turns"]) == (1, 0, 3)
  assert report.table(section)


def test_a_single_device_has_a_single_row(asked, monkeypatch):
  only = jax.devices()[:1]
  monkeypatch.setattr(jax, "devices", lambda: only)
  section = devices.measure({"pair": fabnet.get_config("demo")}, limit_s=2.0)
  assert asked == [("fabnet", 1)]
  (row,) = section.rows
  assert (row["num_devices"], row["ratio"]) == (1, 1)
