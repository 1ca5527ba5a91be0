"""Speed and memory of the renderer, and of brute force beside it."""

import functools
import itertools
import logging
import time
import types
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from facerep_jax.benchmarks import compiled, report, timing
from facerep_jax.benchmarks.reference import brute_force
from facerep_jax.ops import camera as cameras
from facerep_jax.ops import render

_log = logging.getLogger(__name__)
# Pairs of size in pixels and number of images.
SHAPES = ((64, 1), (64, 4), (64, 16), (128, 4), (256, 2), (256, 4))
BRUTE_FORCE_SHAPES = ((64, 1), (64, 16))
SOFT = render.Softness(edge_px=1.0, depth=0.01)
# Settings of the renderer, by the name of the form.
FORMS = types.MappingProxyType(
  {
    "hard": {"raster": "lists"},
    "soft, 0.5 px": {"softness": render.Softness(edge_px=0.5, depth=0.01)},
    "soft, 1 px": {"softness": SOFT},
  }
)
# Beside them where it is not sure to be slower, as it is on CPUs.
TILES = types.MappingProxyType({"hard, tiles": {"raster": "tiles"}})
_PASSES = {"forward": "forward", "both": "forward + backward"}
_COLUMNS = (
  report.Column("form", "form"),
  report.Column("size_px", "px"),
  report.Column("batch_size", "batch"),
  report.Column("forward_ms", "forward, ms", ".1f"),
  report.Column("forward_spread", "spread", ".0%"),
  report.Column("both_ms", "forward + backward, ms", ".1f"),
  report.Column("both_spread", "spread", ".0%"),
  report.Column("both_ms_per_image", "per image, ms", ".1f"),
  report.Column("forward_mb", "memory forward, MB", ".1f"),
  report.Column("both_mb", "memory of both, MB", ".1f"),
  report.Column("num_dropped", "lost"),
  report.Column("compile_s", "compilation, s", ".1f"),
  *compiled.USE_COLUMNS,
)
_GROWTH_COLUMNS = (
  report.Column("form", "form"),
  report.Column("small", "from"),
  report.Column("large", "to"),
  report.Column("num_pixels", "pixels, times", ".0f"),
  report.Column("forward_ms", "forward, times", ".2f"),
  report.Column("both_ms", "forward + backward, times", ".2f"),
  report.Column("both_mb", "memory of both, times", ".2f"),
)
_BRUTE_FORCE_COLUMNS = (
  report.Column("size_px", "px"),
  report.Column("batch_size", "batch"),
  report.Column("work_title", "what"),
  report.Column("ours_ms", "ours, ms", ".1f"),
  report.Column("brute_force_ms", "brute force, ms", ".1f"),
  report.Column("ratio", "brute force / ours", ".1f"),
  report.Column("ours_mb", "memory, MB", ".1f"),
  report.Column("brute_force_mb", "of brute force, MB", ".1f"),
  report.Column("difference", "greatest difference in colour", ".1e"),
  report.Column("num_turns", "turns"),
)


def measure(
  shapes: Sequence[tuple[int, int]] = SHAPES,
  *,
  forms: Mapping[str, Mapping[str, Any]] = FORMS,
  limit_s: float = 8.0,
) -> list[report.Section]:
  """Times the renderer at several sizes, on one device.

  Args:
    shapes: Pairs of size in pixels and number of images.
    forms: Settings of `render.render_depth_map`, by the name of the form.
    limit_s: Time for each row, about, without compilation.

  Returns:
    The table, and one of how time and memory grow from row to row.
  """
  rows = []
  for form, settings in forms.items():
    rows += _measure_form(form, settings, shapes, limit_s)
  speed = report.Section(
    name="render",
    title="Renderer",
    columns=_COLUMNS,
    rows=rows,
    notes=(
      "A depth map like a face, with three colours, drawn at yaws up to 60 "
      "degrees; the gradient is that to depth, colours and view. Medians of "
      "turns taken alternately, all rows of a form in the same round. Memory: "
      "arguments, results and all between, as XLA plans it. Lost: fragments "
      "for which the renderer had no room; anything but 0 means too little "
      "work was timed.",
    ),
  )
  return [speed, growth(rows)]


def _measure_form(form, settings, shapes, limit_s):
  work, programs, lost = {}, {}, {}
  for shape in shapes:
    _log.info("render: %s, %d px, %d images", form, *shape)
    batch = face_batch(*shape)
    draw = _drawer(render.render_depth_map, shape[0], settings)
    for name in _PASSES:
      program = compile_pass(draw, batch, use_gradient=name == "both")
      programs[_key(shape, name)] = program
      work[_key(shape, name)] = timing.repeated(program.call)
    seen = programs[_key(shape, "forward")].call()
    lost[shape] = int(seen.num_dropped.sum())
  times = timing.by_turns(work, limit_s=limit_s * len(shapes))
  rows = []
  for shape in shapes:
    row = _row(
      {name: times[_key(shape, name)] for name in _PASSES},
      {name: programs[_key(shape, name)] for name in _PASSES},
    )
    size_px, batch_size = shape
    row["both_ms_per_image"] = row["both_ms"] / batch_size
    _log.info(
      "  %d px, %d images: %.1f ms forward, %.1f ms with backward",
      *(*shape, row["forward_ms"], row["both_ms"]),
    )
    rows.append(
      {"form": form, "size_px": size_px, "batch_size": batch_size}
      | row
      | {"num_dropped": lost[shape]}
    )
  return rows


def _key(shape, name):
  return f"{name} {shape}"


def _row(times, programs):
  row = {}
  for name in _PASSES:
    row[f"{name}_ms"] = 1e3 * times[name].median_s
    row[f"{name}_spread"] = times[name].spread
    row[f"{name}_mb"] = programs[name].memory_bytes / 1e6
  return row | {
    "compile_s": sum(program.compile_s for program in programs.values()),
    "num_turns": len(times["forward"].turns_s),
    **{
      key: value
      for key, value in compiled.use(
        programs["both"], times["both"].median_s
      ).items()
      if key != "compile_s"  # That is of both.
    },
  }


def growth(rows: Sequence[Mapping[str, Any]]) -> report.Section:
  """Compares rows of `measure` that differ in size alone or in batch alone.

  Args:
    rows: The rows.

  Returns:
    The table: how often the larger one's time and memory hold the smaller's.
    Where they are fewer times larger than the pixels, a pixel costs less.
  """
  out = []
  for small, large in itertools.permutations(rows, 2):
    if small["form"] != large["form"] or not _is_next(small, large, rows):
      continue
    row = {"form": small["form"], "small": _name(small), "large": _name(large)}
    row["num_pixels"] = _num_pixels(large) / _num_pixels(small)
    for key in ("forward_ms", "both_ms", "both_mb"):
      row[key] = large[key] / small[key]
    out.append(row)
  return report.Section(
    name="render_growth",
    title="Renderer, growth",
    columns=_GROWTH_COLUMNS,
    rows=out,
  )


def _is_next(small, large, rows):
  """Whether, of size and batch, one is the same and the other the next."""
  for same, other in (("size_px", "batch_size"), ("batch_size", "size_px")):
    more = [
      row[other]
      for row in rows
      if row["form"] == small["form"]
      and row[same] == small[same]
      and row[other] > small[other]
    ]
    if large[same] == small[same] and more and large[other] == min(more):
      return True
  return False


def _name(row):
  return f"{row['size_px']} px x {row['batch_size']}"


def _num_pixels(row):
  return row["size_px"] ** 2 * row["batch_size"]


def against_brute_force(
  shapes: Sequence[tuple[int, int]] = BRUTE_FORCE_SHAPES,
  *,
  limit_s: float = 8.0,
  long_s: float = 120.0,
) -> report.Section:
  """Times the soft form beside `brute_force`, in the same turns.

  Args:
    shapes: As of `measure`, from small to large.
    limit_s: Time for each row, about, without compilation; but brute force
      takes three turns, or a single one where it is long.
    long_s: Brute force is left out where one turn would take longer, by what
      it took before.

  Returns:
    The table.
  """
  rows = []
  for name in _PASSES:
    per_pair_s = 0.0
    for size_px, batch_size in shapes:
      num_pairs = size_px**4 * batch_size
      expected_s = per_pair_s * num_pairs
      _log.info(
        "render: brute force, %d px, %d images, %s",
        *(size_px, batch_size, _PASSES[name]),
      )
      if expected_s > long_s:
        _log.info("  left out: one turn would take %.0f s", expected_s)
        continue
      min_turns = 1 if expected_s > limit_s else 3
      row = _compare(name, size_px, batch_size, limit_s, min_turns=min_turns)
      per_pair_s = row["brute_force_ms"] / 1e3 / num_pairs
      rows.append(row)
      _log.info("  %.0f times as long", row["ratio"])
  return report.Section(
    name="render_brute_force",
    title="Renderer and brute force, soft, 1 px",
    columns=_BRUTE_FORCE_COLUMNS,
    rows=rows,
    notes=(
      "Brute force: the same pictures, for which every pixel looks at every "
      "triangle; as many pixels at a time as memory holds.",
    ),
  )


def _compare(name, size_px, batch_size, limit_s, *, min_turns):
  batch = face_batch(size_px, batch_size)
  ours, brute = (
    compile_pass(
      _drawer(draw, size_px, {"softness": SOFT}),
      batch,
      use_gradient=name == "both",
    )
    for draw in (render.render_depth_map, brute_force.render_depth_map)
  )
  pictures = []
  times = timing.by_turns(
    {
      "ours": timing.repeated(ours.call),
      "brute_force": functools.partial(_turn, brute.call, pictures),
    },
    limit_s=limit_s,
    min_turns=min_turns,
  )
  difference = jnp.abs(_colour(pictures[-1]) - _colour(ours.call())).max()
  medians = {key: 1e3 * t.median_s for key, t in times.items()}
  return {
    "size_px": size_px,
    "batch_size": batch_size,
    "work": name,
    "work_title": _PASSES[name],
    "ours_ms": medians["ours"],
    "brute_force_ms": medians["brute_force"],
    "ratio": medians["brute_force"] / medians["ours"],
    "ours_mb": ours.memory_bytes / 1e6,
    "brute_force_mb": brute.memory_bytes / 1e6,
    "difference": float(difference),
    "num_turns": len(times["ours"].turns_s),
  }


def _turn(call, results):
  """Does long work once, with no call to warm up, and keeps its result."""
  start = time.perf_counter()
  results.append(call())
  return time.perf_counter() - start


def _colour(result):
  """Picks the colour out of what either pass returned."""
  return result.colour if isinstance(result, render.Rendered) else result[0][1]


def _drawer(function, size_px, settings):
  camera = cameras.Camera(size_px)

  def draw(depth, colour, view):
    pose = cameras.pose_from_view(view)
    return function(depth, colour, pose, camera, **settings)

  return draw


def compile_pass(
  draw: Callable[..., render.Rendered],
  batch: Mapping[str, np.ndarray],
  *,
  use_gradient: bool,
) -> compiled.Program:
  """Compiles the drawing of a batch.

  Args:
    draw: (depth, colour, view) -> what is seen.
    batch: Of `face_batch`.
    use_gradient: Whether to compute, besides, the gradient of a weighted sum
      of all that is seen to all that it is made of.

  Returns:
    The program; its result is what is seen, or with the gradient ((sum,
    colour), gradient).
  """
  rng = np.random.default_rng(1)
  weights = {
    "colour": rng.normal(size=batch["colour"].shape).astype(np.float32),
    "depth": rng.normal(size=batch["depth"].shape).astype(np.float32),
    "mask": rng.normal(size=batch["depth"].shape).astype(np.float32),
  }

  def add_up(batch, weights):
    seen = draw(**batch)._asdict()
    total = sum(jnp.sum(w * seen[name]) for name, w in weights.items())
    return total, seen["colour"]

  if not use_gradient:
    return compiled.on_batch(lambda _, batch: draw(**batch), {}, batch)
  grad_fn = jax.value_and_grad(add_up, has_aux=True)
  return compiled.on_batch(
    lambda weights, batch: grad_fn(batch, weights), weights, batch
  )


def face_batch(size_px: int, batch_size: int) -> dict[str, np.ndarray]:
  """Makes depth maps like faces, with poses from the front to the side.

  Args:
    size_px: S.
    batch_size: N.

  Returns:
    `depth` [N, S, S] float32, scene units, an egg with a nose in front of a
    wall; `colour` [N, S, S, 3] float32, noise, [-1, 1]; `view` [N, 6] float32,
    as of `camera.pose_from_view`: yaws of 0 to 60 degrees to both sides in
    turn, 30 for a single image, and a little of all other turns and shifts.
  """
  line = np.linspace(-1, 1, size_px)
  x, y = line[None], line[:, None]
  egg = np.sqrt(np.maximum(1 - (x / 0.7) ** 2 - (y / 0.9) ** 2, 0))
  nose = np.exp(-(x**2) / 0.02 - (y - 0.1) ** 2 / 0.06)
  depth = 1.04 - 0.08 * egg - 0.02 * nose
  rng = np.random.default_rng(0)
  colour = rng.uniform(-1, 1, (batch_size, size_px, size_px, 3))
  view = rng.uniform(-0.2, 0.2, (batch_size, 6))
  yaw = np.linspace(0, 1, batch_size) if batch_size > 1 else np.array([0.5])
  view[:, 1] = yaw * (-1) ** np.arange(batch_size)
  return {
    "depth": np.repeat(depth[None], batch_size, 0).astype(np.float32),
    "colour": colour.astype(np.float32),
    "view": view.astype(np.float32),
  }
