"""What the pieces of the demo's autoencoder save or cost in a training step."""

import copy
import logging
import types

import ml_collections

from facerep_jax.benchmarks import compiled, report, timing

_log = logging.getLogger(__name__)
DEMO = "demo"
# Each alone, put back into the demo: changes to `config.model`.
PUT_BACK = types.MappingProxyType(
  {
    "transposed decoders": {"decoder": "transposed"},
    "both mirrors": {"mirror": "both"},
    "separate light and view": {"light_and_view": "separate"},
    "a face for each frame": {"cross_frame": "next"},
  }
)
# Each alone, left out.
LEFT_OUT = types.MappingProxyType(
  {
    "no search of views": {"weights": {"view_search": 0.0}},
    "no Laplacian term": {"weights": {"laplacian": 0.0}},
    "no perceptual term": {"weights": {"perceptual": 0.0}},
  }
)
# All at once, as the demo was before: with the published perceptual term.
PUBLISHED = "demo, published networks"
_PUBLISHED_WEIGHTS = types.MappingProxyType(
  {"perceptual": 1.0, "laplacian": 0.0, "view_search": 0.0}
)
_COLUMNS = (
  report.Column("piece", "step"),
  report.Column("step_ms", "step, ms", ".0f"),
  report.Column("image_ms", "per image, ms", ".1f"),
  report.Column("spread", "spread", ".0%"),
  report.Column("images_per_s", "images/s", ".1f"),
  report.Column("ratio", "demo's images/s, times these", ".2f"),
  report.Column("ratio_spread", "spread", ".0%"),
  report.Column("step_mb", "memory of a step, MB", ".0f"),
  report.Column("num_turns", "turns"),
  report.Column("compile_s", "compilation, s", ".1f"),
  *compiled.USE_COLUMNS,
)


def measure(
  config: ml_collections.ConfigDict, *, limit_s: float = 8.0
) -> report.Section:
  """Times the demo's training step with and without its pieces.

  Args:
    config: Of the autoencoder, preset `demo`.
    limit_s: Time for each row, about, without compilation.

  Returns:
    The table.
  """
  num_images = config.batch_size * config.model.num_frames
  programs = {}
  for name, changed in variants(config).items():
    _log.info("autoencoder, %d images: %s", num_images, name)
    programs[name] = compiled.training_step(changed, compiled.one_device())
  times = timing.by_turns(
    {name: timing.repeated(x.call) for name, x in programs.items()},
    limit_s=limit_s * len(programs),
  )
  rows = []
  for name, program in programs.items():
    step_s = times[name].median_s
    ratio, ratio_spread = timing.ratio(times[name], times[DEMO])
    rows.append(
      {
        "piece": name,
        "num_images": num_images,
        "step_ms": 1e3 * step_s,
        "image_ms": 1e3 * step_s / num_images,
        "spread": times[name].spread,
        "images_per_s": num_images / step_s,
        "ratio": ratio,
        "ratio_spread": ratio_spread,
        "step_mb": program.memory_bytes / 1e6,
        "num_turns": len(times[name].turns_s),
        **compiled.use(program, step_s, dtype=config.dtype),
      }
    )
    _log.info("  %s: %.1f ms an image", name, rows[-1]["image_ms"])
  return report.Section(
    name="autoencoder_pieces",
    title=f"Pieces of the 3D-aware autoencoder, {num_images} images",
    columns=_COLUMNS,
    rows=rows,
    notes=(
      "Each row but the first is the demo with a change: a published piece put "
      "back, a term of the loss left out, or in the last row all of that but "
      "the perceptual term, which has the published weight. All took turns "
      "with all; the ratio is of the same turn, its median. Spread: greatest "
      "less least, of the median.",
    ),
  )


def variants(
  config: ml_collections.ConfigDict,
) -> dict[str, ml_collections.ConfigDict]:
  """Returns the configs that are compared, by name.

  Args:
    config: Of the autoencoder, preset `demo`.

  Returns:
    The demo first, and last the one with all that is published.
  """
  everything = {"weights": dict(_PUBLISHED_WEIGHTS)}
  for changes in PUT_BACK.values():
    everything |= changes
  changes = {DEMO: {}, **PUT_BACK, **LEFT_OUT, PUBLISHED: everything}
  out = {}
  for name, of_model in changes.items():
    out[name] = copy.deepcopy(config)
    out[name].model.update(of_model)
  return out
