"""How well a run rebuilds frames of tracks that it never saw."""

import dataclasses
from typing import Any

import numpy as np

from facerep_jax import cli, sharding
from facerep_jax.data import batches, samples
from facerep_jax.evaluators import reconstruction, studies
from facerep_jax.inference import api
from facerep_jax.runs import configuration
from facerep_jax.tracks import track_source

_KEY = "reconstruction"
_MAX_SAMPLES = 1000


def is_possible(networks: studies.Networks) -> bool:
  """Tells whether the run's system rebuilds images."""
  return networks.run.system.reconstruct is not None


def run(networks: studies.Networks, folder: str) -> dict[str, Any]:
  """Measures the reconstruction of one draw of each test chunk.

  Args:
    networks: The run, the runs beside it, and random weights; `is_possible`
      holds.
    folder: Face tracks.

  Returns:
    A task entry of results.json; baselines of a system, such as copying the
    source frame, count as features.
  """
  entries = []
  for name, kind, model in networks.models():
    if model.system.reconstruct is None:
      continue
    images, group = rebuilt(model, folder)
    target = images.pop("target")
    for what in sorted(images, key=lambda what: what != _KEY):
      if what != _KEY and kind != "run":
        continue
      measured = reconstruction.measure(images[what], target, group)
      entries.append(
        {
          "feature": name if what == _KEY else what,
          "kind": kind if what == _KEY else "baseline",
          "dim": int(target[0].size),
          "scores": measured.scores,
          "details": measured.details,
        }
      )
  return {
    "task": "reconstruction",
    "dataset": "tracks",
    "split": "test",
    "crop": "track",
    "protocol": "one draw of frames from each chunk, at the run's own size, "
    "with its jittered crop",
    "num_train": 0,
    "num_test": len(group),
    "num_people": len(np.unique(group)),
    "entries": entries,
  }


def rebuilt(
  model: api.Representation, folder: str
) -> tuple[dict[str, np.ndarray], np.ndarray]:
  """Rebuilds one draw of each test chunk.

  Args:
    model: A run.
    folder: Face tracks.

  Returns:
    What `System.reconstruct` returns, [N, H, W, 3] float32 each, and the
    person of each row, [N].
  """
  config, system = model.config, model.system
  _, rule = configuration.sampling(
    config, num_frames=system.num_frames, size_px=system.size_px
  )
  # What is rebuilt are pictures: it does not matter how many a track has.
  by = "chunk" if rule.sample_by == "recordings" else rule.sample_by
  rule = dataclasses.replace(rule, min_frames=0, sample_by=by)
  source = track_source.TrackSource(
    folder, "test", on_bad_record=config.data.on_bad_record
  )
  drawn = samples.Samples(source, rule)
  total = min(drawn.epoch_size, _MAX_SAMPLES)
  step = sharding.jit_on_batch(system.reconstruct, model.mesh)
  rows = sharding.round_up(api.BATCH_SIZE, model.mesh)
  records = []
  with cli.Progress(total, "chunks", "rebuilt") as bar:
    drawn_batches = _batches(drawn, total, rows, records, bar)
    images = sharding.map_batches(
      step, model.variables, drawn_batches, rows, model.mesh
    )
  people = {r: source.read(r, ()).person for r in set(records)}
  # `eval_batches` has filled the last batch itself, with other samples.
  images = {name: value[:total] for name, value in images.items()}
  return images, np.array([people[r] for r in records])


def _batches(drawn, total, rows, records, bar):
  """Yields batches, and collects the records of rows that count."""
  for batch in batches.eval_batches(drawn, batch_size=rows, num_samples=total):
    weight, record = batch["weight"] > 0, batch.pop("record")
    yield batch
    records += record[weight].tolist()
    bar.advance(int(weight.sum()), int(weight.sum()))
