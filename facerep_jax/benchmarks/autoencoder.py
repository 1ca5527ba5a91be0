"""Speed and memory of the 3D-aware autoencoder's training step."""

import logging
from collections.abc import Callable, Sequence

import ml_collections

from facerep_jax.benchmarks import compiled, report, timing
from facerep_jax.benchmarks import render as render_benchmark
from facerep_jax.faces import rendering
from facerep_jax.systems import autoencoder_settings

_log = logging.getLogger(__name__)
# Presets of configs/latentface.py, with sizes in pixels and batch sizes; a
# sample of the demo has two images.
PRESETS = (
  ("demo", 64, 8),
  ("paper", 64, 8),
  ("demo", 128, 4),
  ("demo", 256, 4),
)
_COLUMNS = (
  report.Column("preset", "preset"),
  report.Column("size_px", "px"),
  report.Column("width", "width"),
  report.Column("num_images", "images"),
  report.Column("images_per_s", "training, images/s", ".1f"),
  report.Column("step_spread", "spread", ".0%"),
  report.Column("step_ms", "step, ms", ".0f"),
  report.Column("render_ms", "of which rendering, ms", ".1f"),
  report.Column("render_share", "share", ".1%"),
  report.Column("step_mb", "memory of a step, MB", ".0f"),
  report.Column("num_dropped", "lost", ".0f"),
  report.Column("compile_s", "compilation, s", ".1f"),
  *compiled.USE_COLUMNS,
)


def measure(
  configs: Sequence[ml_collections.ConfigDict],
  *,
  limit_s: float = 8.0,
  so_far: Callable[[report.Section], None] = lambda section: None,
) -> report.Section:
  """Times whole training steps, and the renderer alone, on one device.

  Args:
    configs: Of runs of the autoencoder; a row for each.
    limit_s: Time for each row, about, without compilation.
    so_far: Called with the table after each row.

  Returns:
    The table.
  """
  section = report.Section(
    name="autoencoder",
    title="3D-aware autoencoder",
    columns=_COLUMNS,
    rows=[],
    notes=(
      "A step leads from uint8 frames in memory to updated weights. Rendering: "
      "as many pictures as a step draws with a gradient (each face, and its "
      "mirror where both are drawn) by themselves, with the gradient to all "
      "that they are made of, in turn with the steps. Memory: arguments, "
      "results and all between, as XLA plans it; weights and moments of the "
      "optimiser are in it. Lost: fragments for which the renderer had no "
      "room.",
    ),
  )
  for config in configs:
    size_px = config.model.size_px
    num_images = config.batch_size * config.model.num_frames
    _log.info(
      "autoencoder: %s, %d px, %d images", config.preset, size_px, num_images
    )
    section.rows.append(_row(config, limit_s))
    _log.info(
      "  %.1f images/s, %.1f %% of it the renderer",
      *(
        section.rows[-1]["images_per_s"],
        100 * section.rows[-1]["render_share"],
      ),
    )
    so_far(section)
  return section


def _row(config, limit_s):
  step = compiled.training_step(config, compiled.one_device())
  drawing = compile_drawing(config)
  num_dropped = float(step.call()["num_dropped"])
  times = timing.by_turns(
    {
      "step": timing.repeated(step.call),
      "render": timing.repeated(drawing.call),
    },
    limit_s=limit_s,
  )
  step_s, render_s = times["step"].median_s, times["render"].median_s
  num_images = config.batch_size * config.model.num_frames
  return {
    "preset": config.preset,
    "size_px": config.model.size_px,
    "width": config.model.width,
    "num_images": num_images,
    "images_per_s": num_images / step_s,
    "step_spread": times["step"].spread,
    "step_ms": 1e3 * step_s,
    "render_ms": 1e3 * render_s,
    "render_spread": times["render"].spread,
    "render_share": render_s / step_s,
    "step_mb": step.memory_bytes / 1e6,
    "render_mb": drawing.memory_bytes / 1e6,
    "num_dropped": num_dropped,
    **compiled.use(step, step_s, dtype=config.dtype),
    "num_turns": len(times["step"].turns_s),
  }


def compile_drawing(config: ml_collections.ConfigDict) -> compiled.Program:
  """Compiles the drawing of a training step by itself, with its gradient.

  Args:
    config: Of the run.

  Returns:
    The program.
  """
  settings = config.model.to_dict()
  weights = settings.pop("weights")
  del settings["frozen"]
  formation = autoencoder_settings.Settings(**settings).formation

  def draw(depth, colour, view):
    return rendering.render_face(depth, colour, view, formation)

  num_drawn = config.batch_size * config.model.num_frames
  if settings["mirror"] == "both" and weights["mirror"]:
    num_drawn *= 2
  batch = render_benchmark.face_batch(config.model.size_px, num_drawn)
  return render_benchmark.compile_pass(draw, batch, use_gradient=True)
