"""How fast batches come, and how long training waits for them."""

import concurrent.futures
import dataclasses
import io
import logging
import math
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence

import jax
import ml_collections
import numpy as np
from PIL import Image

from facerep_jax.benchmarks import report, timing
from facerep_jax.data import batches
from facerep_jax.data import samples as sampling
from facerep_jax.files import decode
from facerep_jax.runs import configuration, metrics
from facerep_jax.systems import base
from facerep_jax.tracks import track_source
from facerep_jax.training import loop, setup

_log = logging.getLogger(__name__)
_RESIZE_ON = ("host", "device")
_NUM_UNTIMED_BATCHES = 3  # While threads start and the buffer fills.

_RATE_COLUMNS = (
  report.Column("stored_px", "stored, px"),
  report.Column("size_px", "batch, px"),
  report.Column("decoder", "decoder"),
  report.Column("resize_on", "resized on"),
  report.Column("num_threads", "threads"),
  report.Column("pipeline_frames_per_s", "pipeline, frames/s", ".0f"),
  report.Column("decode_frames_per_s", "decoding alone, frames/s", ".0f"),
  report.Column("ratio", "pipeline / decoding", ".2f"),
  report.Column("pipeline_spread", "spread", ".0%"),
  report.Column("pipeline_cpu_ms", "pipeline, CPU ms a frame", ".3f"),
  report.Column("decode_cpu_ms", "decoding alone, CPU ms a frame", ".3f"),
  report.Column("cpu_ratio", "decoding / pipeline, CPU", ".2f"),
)
_WAIT_COLUMNS = (
  report.Column("preset", "preset"),
  report.Column("size_px", "px"),
  report.Column("batch_size", "batch"),
  report.Column("num_threads", "threads"),
  report.Column("num_steps", "steps"),
  report.Column("steps_per_s", "steps/s", ".2f"),
  report.Column("frames_per_s", "frames/s", ".0f"),
  report.Column("data_wait_share", "share of time waiting for data", ".2%"),
)


def rates(
  sets: Sequence[tuple[ml_collections.ConfigDict, str]],
  *,
  num_threads: Sequence[int] = (1, 2),
  turn_px: int = 24_000_000,
  limit_s: float = 8.0,
) -> report.Section:
  """Compares the input pipeline with decoding alone.

  Args:
    sets: Pairs of a run's config and the folder of its tracks.
    num_threads: How many threads read and decode; two rows for each, of frames
      resized on the host and of frames left whole for the device.
    turn_px: Pixels of the stored frames that a turn decodes, about.
    limit_s: Time for each number of threads, about.

  Returns:
    The table.
  """
  rows = []
  for config, path in sets:
    for number in num_threads:
      pair = _rate(config, path, number, turn_px, limit_s)
      for row in pair:
        _log.info(
          "data: %d px, %s, %d threads: %.0f frames/s, decoding alone %.0f",
          *(row["size_px"], row["resize_on"], number),
          *(row["pipeline_frames_per_s"], row["decode_frames_per_s"]),
        )
      rows += pair
  return report.Section(
    name="data_rates",
    title="Input pipeline",
    columns=_RATE_COLUMNS,
    rows=rows,
    notes=(
      "Pipeline: records read and checked, two frames of a track decoded, "
      "cropped, resized and put into batches. Decoding alone: the same JPEG "
      "files in memory, decoded in as many threads by the same library "
      "(simplejpeg where it is installed, otherwise Pillow). Resized on the "
      "device: what is left to the host; the device's own time does not count. "
      "CPU: of all threads of the process; other work on the machine moves it "
      "less.",
    ),
  )


def _rate(config, path, num_threads, turn_px, limit_s):
  system = base.build(config)
  rule, _ = configuration.sampling(
    config, num_frames=system.num_frames, size_px=system.size_px
  )
  source = track_source.TrackSource(path, "train")
  files = [
    file
    for i in range(len(source))
    for file in source.read(i, labels=()).frames
  ]
  with Image.open(io.BytesIO(files[0])) as image:
    stored_px = image.width
  num_frames = turn_px // stored_px**2
  cpu_s = {name: [] for name in (*_RESIZE_ON, "decode")}
  work = {
    name: pipeline_turn(
      sampling.Samples(source, dataclasses.replace(rule, resize_on=name)),
      config.batch_size,
      num_threads,
      num_frames,
      cpu_s[name],
    )
    for name in _RESIZE_ON
  }
  work["decode"] = decode_turn(files, num_threads, num_frames, cpu_s["decode"])
  times = timing.by_turns(work, limit_s=limit_s)
  alone = times["decode"]
  cpu_ms = {name: 1e3 * statistics.median(x) for name, x in cpu_s.items()}
  return [
    {
      "stored_px": stored_px,
      "size_px": system.size_px,
      "decoder": "pillow" if decode.simplejpeg is None else "simplejpeg",
      "resize_on": name,
      "num_threads": num_threads,
      "pipeline_frames_per_s": 1 / times[name].median_s,
      "decode_frames_per_s": 1 / alone.median_s,
      "ratio": alone.median_s / times[name].median_s,
      "pipeline_spread": times[name].spread,
      "decode_spread": alone.spread,
      "num_turns": len(alone.turns_s),
      "pipeline_cpu_ms": cpu_ms[name],
      "decode_cpu_ms": cpu_ms["decode"],
      "cpu_ratio": cpu_ms["decode"] / cpu_ms[name],
    }
    for name in _RESIZE_ON
  ]


def pipeline_turn(
  samples: sampling.Samples,
  batch_size: int,
  num_threads: int,
  num_frames: int,
  cpu_s: list[float],
) -> Callable[[], float]:
  """Makes turns of reading batches as training does.

  Args:
    samples: What to read.
    batch_size: Rows of a batch.
    num_threads: Threads that read and decode.
    num_frames: Frames that a turn times, about.
    cpu_s: Each turn adds the process's CPU seconds per frame, of all batches.

  Returns:
    A function that does one turn and returns seconds per frame.
  """
  frames_per_batch = batch_size * samples[0]["frames"].shape[0]
  num_batches = math.ceil(num_frames / frames_per_batch)

  def do_turn():
    start_cpu = time.process_time()
    stream = batches.train_batches(
      samples,
      batch_size=batch_size,
      num_threads=num_threads,
      num_batches=_NUM_UNTIMED_BATCHES + num_batches,
    )
    for _ in range(_NUM_UNTIMED_BATCHES):
      next(stream)
    start = time.perf_counter()
    for _ in stream:
      pass
    elapsed_s = time.perf_counter() - start
    total = (_NUM_UNTIMED_BATCHES + num_batches) * frames_per_batch
    cpu_s.append((time.process_time() - start_cpu) / total)
    return elapsed_s / (num_batches * frames_per_batch)

  return do_turn


def decode_turn(
  files: Sequence[bytes],
  num_threads: int,
  num_frames: int,
  cpu_s: list[float],
) -> Callable[[], float]:
  """Makes turns of decoding images, as the pipeline does, and nothing else.

  Args:
    files: Encoded images.
    num_threads: Threads among which they are divided.
    num_frames: Images that a turn decodes; the files are taken again and again.
    cpu_s: Each turn adds the process's CPU seconds per image.

  Returns:
    A function that does one turn and returns seconds per image.
  """
  picked = [files[i % len(files)] for i in range(num_frames)]
  parts = [picked[i::num_threads] for i in range(num_threads)]

  def do_turn():
    with concurrent.futures.ThreadPoolExecutor(num_threads) as pool:
      start, start_cpu = time.perf_counter(), time.process_time()
      count = sum(pool.map(_decode, parts))
      cpu_s.append((time.process_time() - start_cpu) / count)
      return (time.perf_counter() - start) / count

  return do_turn


def _decode(files):
  for file in files:
    if decode.simplejpeg is None:
      np.asarray(Image.open(io.BytesIO(file)).convert("RGB"))
    else:
      decode.simplejpeg.decode_jpeg(file)
  return len(files)


def waiting(
  config: ml_collections.ConfigDict,
  path: str | os.PathLike,
  *,
  num_steps: int = 100,
  log_every: int = 20,
  devices: list[jax.Device] | None = None,
) -> report.Section:
  """Trains for a moment and reads how long the loop waited for data.

  Args:
    config: A run's config; its length and logging are replaced.
    path: Folder of its tracks.
    num_steps: How many to train, a multiple of `log_every`.
    log_every: Steps of a window of measurements; the first one is dropped,
      because it holds the compilation.
    devices: Which to use; all by default.

  Returns:
    The table.
  """
  config = config.copy_and_resolve_references()
  config.steps = num_steps
  config.every.update(log=log_every, eval=num_steps, pictures=0)
  config.eval_samples = config.batch_size
  with tempfile.TemporaryDirectory() as workdir:
    prepared, state = setup.prepare(config, workdir, path, devices)
    loop.train(prepared, state)
    lines = [x for x in metrics.read(workdir) if x["split"] == "train"]
  _log.info("data: trained %d steps", num_steps)
  steps_per_s, share = waiting_share(lines[1:])
  row = {
    "preset": config.preset,
    "size_px": prepared.system.size_px,
    "batch_size": config.batch_size,
    "num_threads": config.data.num_threads,
    "num_steps": num_steps - log_every,
    "steps_per_s": steps_per_s,
    "frames_per_s": steps_per_s
    * config.batch_size
    * prepared.system.num_frames,
    "data_wait_share": share,
  }
  return report.Section(
    name="data_waiting",
    title="Waiting for data in training",
    columns=_WAIT_COLUMNS,
    rows=[row],
    notes=(
      "Read from the training loop itself, compilation and evaluation left "
      "out. On a CPU, reading and training share the cores: the share is what "
      "the loop stands still, not all that reading costs.",
    ),
  )


def waiting_share(lines: Sequence[dict[str, float]]) -> tuple[float, float]:
  """Averages windows of equally many steps.

  Args:
    lines: Of metrics.jsonl, with `steps_per_second` and `data_wait_share`.

  Returns:
    Steps per second, and the share of their time spent waiting.
  """
  seconds = np.array([1 / line["steps_per_second"] for line in lines])
  shares = np.array([line["data_wait_share"] for line in lines])
  return float(1 / seconds.mean()), float((seconds @ shares) / seconds.sum())
