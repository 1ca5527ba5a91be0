import pytest

from configs import latentface
from facerep_jax.benchmarks import (
  autoencoder_pieces,
  compiled,
  report,
  timing,
)
from facerep_jax.runs import stages
from facerep_jax.systems import base


@pytest.fixture
def demo():
  return stages.config_of(latentface.get_config("demo"), "autoencoder")


def changed(config, demo):
  """Names and values of what differs in the model, with those in the demo."""
  flat, first = (
    {
      **c.model.to_dict(),
      **{f"weights.{k}": v for k, v in c.model.weights.items()},
    }
    for c in (config, demo)
  )
  return {
    name: (first[name], value)
    for name, value in flat.items()
    if name != "weights" and value != first[name]
  }


def test_one_piece_at_a_time_and_then_all(demo):
  before = demo.to_dict()
  first, *single, last = autoencoder_pieces.variants(demo).values()
  assert demo.to_dict() == before == first.to_dict()
  assert [changed(config, demo) for config in single] == [
    {"decoder": ("resize", "transposed")},
    {"mirror": ("random", "both")},
    {"light_and_view": ("joint", "separate")},
    {"cross_frame": ("one", "next")},
    {"weights.view_search": (0.5, 0.0)},
    {"weights.laplacian": (1.0, 0.0)},
    {"weights.perceptual": (0.3, 0.0)},
  ]
  assert changed(last, demo) == {
    "decoder": ("resize", "transposed"),
    "mirror": ("random", "both"),
    "light_and_view": ("joint", "separate"),
    "cross_frame": ("one", "next"),
    "weights.perceptual": (0.3, 1.0),
    "weights.laplacian": (1.0, 0.0),
    "weights.view_search": (0.5, 0.0),
  }


def test_all_can_be_built(demo):
  for config in autoencoder_pieces.variants(demo).values():
    assert base.build(config).num_frames == 2


def test_a_row_for_each(demo, monkeypatch):
  def fake_step(config, mesh):
    assert mesh.devices.size == 1
    # A step takes longer with two networks.
    separate = config.model.light_and_view == "separate"
    seconds = (0.25, 0.75, 0.5) if separate else (0.125, 0.25, 0.25)
    return compiled.Program(lambda: seconds, 1.0, 5_000_000)

  def fake_turns(work, limit_s):
    assert limit_s == 2.0 * len(work)
    return {name: timing.Times(call()) for name, call in work.items()}

  monkeypatch.setattr(compiled, "training_step", fake_step)
  monkeypatch.setattr(timing, "repeated", lambda call: call)
  monkeypatch.setattr(timing, "by_turns", fake_turns)
  section = autoencoder_pieces.measure(demo, limit_s=2.0)
  rows = {row["piece"]: row for row in section.rows}
  assert list(rows) == list(autoencoder_pieces.variants(demo))
  first, last = section.rows[0], section.rows[-1]
  assert (first["step_ms"], first["images_per_s"]) == (250, 64)
  assert first["image_ms"] == 250 / 16
  assert (first["ratio"], first["ratio_spread"]) == (1, 0)
  assert (last["step_ms"], last["images_per_s"]) == (500, 32)
  assert (last["ratio"], last["ratio_spread"]) == (2, 0.5)
  assert (last["spread"], last["step_mb"], last["num_turns"]) == (1, 5, 3)
  assert rows["both mirrors"]["ratio"] == 1
  assert "16 images" in section.title and report.table(section)
