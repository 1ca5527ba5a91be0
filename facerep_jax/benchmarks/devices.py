"""Training steps on one device beside the same steps on all of them."""

import logging
from collections.abc import Mapping

import ml_collections

from facerep_jax import sharding
from facerep_jax.benchmarks import compiled, report, timing
from facerep_jax.systems import base

_log = logging.getLogger(__name__)
_COLUMNS = (
  report.Column("title", "step of"),
  report.Column("size_px", "px"),
  report.Column("num_images", "images"),
  report.Column("num_devices", "devices"),
  report.Column("step_ms", "step, ms", ".0f"),
  report.Column("images_per_s", "images/s", ".1f"),
  report.Column("spread", "spread", ".0%"),
  report.Column("ratio", "images/s, times one device's", ".2f"),
  report.Column("ratio_spread", "spread", ".0%"),
  report.Column("num_turns", "turns"),
  report.Column("memory_mb", "memory of one, MB", ".0f"),
  report.Column("compile_s", "compilation, s", ".1f"),
  *compiled.USE_COLUMNS,
)


def measure(
  configs: Mapping[str, ml_collections.ConfigDict], *, limit_s: float = 8.0
) -> report.Section:
  """Times training steps on one device and on all, as training splits them.

  Args:
    configs: Of runs, by title.
    limit_s: Time for each row, about, without compilation.

  Returns:
    The table.
  """
  rows = []
  for title, config in configs.items():
    _log.info("devices: %s", title)
    found = _rows(config, limit_s)
    rows += [{"title": title} | row for row in found]
    for row in found:
      _log.info("  %d: %.1f images/s", row["num_devices"], row["images_per_s"])
  return report.Section(
    name="devices",
    title="Training on one device and on all",
    columns=_COLUMNS,
    rows=rows,
    notes=(
      "Steps lead from uint8 frames in memory to updated weights; the batch is "
      "split over the devices as in training, which takes as many of them as "
      "divide it. The ratio is of the times of the same turn, its median. "
      "Spread: slowest less fastest, of the median.",
    ),
  )


def _rows(config, limit_s):
  meshes = (compiled.one_device(), sharding.mesh_of_batch(config.batch_size))
  # A single entry where there is no second device.
  meshes = {mesh.devices.size: mesh for mesh in meshes}
  programs = {
    count: compiled.training_step(config, mesh)
    for count, mesh in meshes.items()
  }
  times = timing.by_turns(
    {n: timing.repeated(program.call) for n, program in programs.items()},
    limit_s=limit_s * len(programs),
  )
  num_images = config.batch_size * base.build(config).num_frames
  rows = []
  for count, of_count in times.items():
    ratio, ratio_spread = timing.ratio(times[1], of_count)
    rows.append(
      {
        "size_px": config.model.size_px,
        "num_images": num_images,
        "num_devices": count,
        "step_ms": 1e3 * of_count.median_s,
        "images_per_s": num_images / of_count.median_s,
        "spread": of_count.spread,
        "ratio": ratio,
        "ratio_spread": ratio_spread,
        "num_turns": len(of_count.turns_s),
        **compiled.use(
          programs[count],
          of_count.median_s,
          dtype=config.dtype,
          num_devices=count,
        ),
      }
    )
  return rows
