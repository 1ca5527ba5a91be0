import types

import numpy as np
import pytest

from facerep_jax.benchmarks import compiled, render, report, timing
from facerep_jax.benchmarks.reference import brute_force
from facerep_jax.ops import render as renderer

SOFT = renderer.Softness(1.0, 0.01)


def test_faces_turn_to_both_sides():
  batch = render.face_batch(16, 4)
  yaw_deg = 60 * batch["view"][:, 1]
  np.testing.assert_allclose(yaw_deg, [0, -20, 40, -60], atol=1e-4)
  assert 60 * render.face_batch(16, 1)["view"][0, 1] == pytest.approx(30)
  depth = batch["depth"]
  # The nose stands out before the middle, and the wall is behind.
  assert depth.shape == (4, 16, 16) and depth.dtype == np.float32
  assert depth[0, :, 0].min() == depth.max() == pytest.approx(1.04)
  assert depth.min() == depth[0, 8, 8] == depth[0, 8, 7]
  assert 0.93 < depth.min() < 0.96


@pytest.fixture
def compiled_passes(monkeypatch):
  """Work that is not done: two fragments of each image are lost."""
  asked = []

  def compile_pass(draw, batch, *, use_gradient):
    num, size = batch["depth"].shape[:2]
    asked.append((size, num, use_gradient))
    lost = types.SimpleNamespace(num_dropped=np.full(num, 2))
    memory = size * num * (3 if use_gradient else 1) * 1_000_000
    return compiled.Program(lambda: lost, 0.5, memory)

  monkeypatch.setattr(render, "compile_pass", compile_pass)
  monkeypatch.setattr(timing, "repeated", lambda call: lambda: 0.25)
  return asked


def test_rows_and_their_growth(compiled_passes):
  shapes = ((8, 1), (8, 2), (16, 2))
  forms = {"hard": {}, "soft": {"softness": SOFT}}
  speed, growth = render.measure(shapes, forms=forms, limit_s=0)
  assert [
    (row["form"], row["size_px"], row["batch_size"]) for row in speed.rows
  ] == [(form, *shape) for form in forms for shape in shapes]
  assert compiled_passes == 2 * [
    (*shape, use_gradient) for shape in shapes for use_gradient in (False, True)
  ]
  for row in speed.rows:
    assert {column.key for column in speed.columns} <= set(row)
    size_px, num = row["size_px"], row["batch_size"]
    assert (row["forward_ms"], row["both_ms"]) == (250, 250)
    assert row["both_ms_per_image"] == 250 / num
    assert row["num_dropped"] == 2 * num and row["compile_s"] == 1
    assert row["forward_mb"] == size_px * num
    assert row["both_mb"] == 3 * size_px * num
  assert [
    (row["form"], row["small"], row["large"], row["num_pixels"])
    for row in growth.rows
  ] == [
    (form, *pair)
    for form in forms
    for pair in (("8 px x 1", "8 px x 2", 2), ("8 px x 2", "16 px x 2", 4))
  ]
  assert [row["both_mb"] for row in growth.rows] == [2, 2, 2, 2]
  assert report.table(speed) and report.table(growth)


def test_real_work_is_timed():
  forms = {"hard": {"raster": "tiles"}}
  speed, _ = render.measure(((8, 1),), forms=forms, limit_s=0)
  (row,) = speed.rows
  assert row["forward_ms"] > 0 and row["num_dropped"] == 0
  # Its arguments alone: depth, colours, view; the gradient is as large.
  arguments_mb = 4 * (8 * 8 * 4 + 6) / 1e6
  assert row["forward_mb"] > arguments_mb
  assert row["both_mb"] > 2 * arguments_mb


def row(form, size_px, batch_size, ms):
  return {
    "form": form,
    "size_px": size_px,
    "batch_size": batch_size,
    "forward_ms": ms,
    "both_ms": 3 * ms,
    "both_mb": 10 * ms,
  }


def test_growth_compares_neighbours_of_one_form():
  rows = [
    row("hard", 64, 1, 1.0),
    row("hard", 64, 4, 3.0),
    row("hard", 64, 16, 15.0),
    row("hard", 256, 4, 60.0),
    row("soft", 128, 4, 20.0),
  ]
  got = {
    (r["small"], r["large"]): (r["num_pixels"], r["forward_ms"], r["both_mb"])
    for r in render.growth(rows).rows
  }
  assert got == {
    ("64 px x 1", "64 px x 4"): (4, 3, 3),
    ("64 px x 4", "64 px x 16"): (4, 5, 5),
    ("64 px x 4", "256 px x 4"): (16, 20, 20),
  }


def test_brute_force_draws_the_same():
  section = render.against_brute_force(((8, 1),), limit_s=0)
  assert [r["work"] for r in section.rows] == ["forward", "both"]
  for r in section.rows:
    assert {column.key for column in section.columns} <= set(r)
    assert r["ratio"] == pytest.approx(r["brute_force_ms"] / r["ours_ms"])
    # Float32; sums are taken in another order.
    assert r["difference"] < 1e-5
  assert report.table(section)


@pytest.fixture
def asked(monkeypatch):
  """What is compared, where brute force takes 1 or 5 s for 64 px."""
  calls = []

  def compare(name, size_px, batch_size, limit_s, *, min_turns):
    calls.append((name, size_px, batch_size, min_turns))
    seconds = {"forward": 1, "both": 5}[name]
    ms = 1e3 * seconds * batch_size * (size_px / 64) ** 4
    return {"brute_force_ms": ms, "ratio": 10.0}

  monkeypatch.setattr(render, "_compare", compare)
  return calls


def test_long_work_is_done_once_and_longer_work_not_at_all(asked):
  shapes = ((64, 1), (64, 4), (128, 4), (256, 1))
  section = render.against_brute_force(shapes, limit_s=8, long_s=100)
  # By the time for a pair of pixel and triangle: 4, 64 and 256 s forward, and
  # 20, 320 and 1280 s with backward.
  assert asked == [
    ("forward", 64, 1, 3),
    ("forward", 64, 4, 3),
    ("forward", 128, 4, 1),
    ("both", 64, 1, 3),
    ("both", 64, 4, 1),
  ]
  assert len(section.rows) == len(asked)


def test_both_are_timed_in_the_same_turns(monkeypatch):
  rounds = []

  def by_turns(work, **settings):
    rounds.append((tuple(work), settings))
    for do_turn in work.values():
      do_turn()
    return {name: timing.Times((i + 1.0,)) for i, name in enumerate(work)}

  monkeypatch.setattr(timing, "by_turns", by_turns)
  drawn = []
  real = brute_force.render_depth_map

  def draw(*args, **kwargs):
    drawn.append(kwargs["softness"])
    return real(*args, **kwargs)

  monkeypatch.setattr(brute_force, "render_depth_map", draw)
  row = render._compare("both", 8, 1, 5.0, min_turns=1)
  settings = {"limit_s": 5.0, "min_turns": 1}
  assert rounds == [(("ours", "brute_force"), settings)]
  assert row["ratio"] == 2.0
  assert set(drawn) == {SOFT}
