"""What a later stage takes over from the stage before it."""

import logging
import pathlib
from typing import Any

import jax
import numpy as np

from facerep_jax import errors, sharding
from facerep_jax.data import samples
from facerep_jax.inference import api
from facerep_jax.runs import configuration, stages
from facerep_jax.systems import base
from facerep_jax.tracks import tfrecord, track_source

_log = logging.getLogger(__name__)
_RECORDS = 128
_ROWS = 64
# Of the mean of all deviations. A number that is 0 but for a few faces would be
# a hundred times its own deviation there, and all that the loss looks at.
_LEAST_DEVIATION = 0.1


def frozen(
  stage: stages.Stage, workdir: pathlib.Path, data_path: str
) -> dict[str, Any]:
  """Collects the frozen parameters with which a stage begins.

  Args:
    stage: Which.
    workdir: Of all stages.
    data_path: Face tracks.

  Returns:
    By name; {} where no stage comes before.

  Raises:
    InputError: The stage before is not trained, or its weights are others than
      those with which this stage began.
  """
  if not stage.before:
    return {}
  earlier, config = stage.before[-1], stage.config
  if not stages.done_step(workdir / earlier):
    raise errors.InputError(
      f"{workdir / earlier}: is not trained to its end, and config.stage="
      f"{stage.name} rests on it. Run with --config.stage={stages.ALL} or "
      f"{earlier} first."
    )
  model = api.load(workdir / earlier)
  params, held = model.variables.params, model.variables.frozen
  params = params | {k: held[k] for k in model.config.model.get("frozen", ())}
  stages.check_used(stage.folder(workdir), {earlier: params})
  _log.info("stage %s: best weights, of step %d", earlier, model.step)
  found = {earlier: jax.device_get(params)}
  if config.model.standardise:
    found["statistics"] = _statistics(stage, found, data_path)
  return found


def _statistics(stage, given, data_path):
  """Returns mean and deviation of training frames' codes, by network."""
  config = stage.config
  system = base.build(config)
  abstract = jax.eval_shape(system.init, jax.random.key(0))
  names = sorted(abstract.frozen["statistics"])
  _, rule = configuration.sampling(
    config, num_frames=system.num_frames, size_px=system.size_px
  )
  source = track_source.TrackSource(
    data_path, "train", on_bad_record=config.data.on_bad_record
  )
  frames = np.concatenate(_frames(stage, source, rule))
  mesh = sharding.make_mesh(jax.local_devices()[:1])
  encode = sharding.jit_on_batch(system.encode, mesh)
  rows = min(_ROWS, len(frames))
  whole = frames[: len(frames) // rows * rows]  # Batches that need no filling.
  codes = sharding.map_rows(encode, given, whole, rows, mesh)
  parts = np.split(codes, len(names), axis=1)
  return {name: _moments(part) for name, part in zip(names, parts)}


def _frames(stage, source, rule):
  """Returns the frames of records spread over a split, without bad ones."""
  with stage.naming():
    whole = samples.WholeTracks(source, rule)
  picks = np.linspace(0, len(source) - 1, min(_RECORDS, len(source)))
  read = [whole[int(i)] for i in np.unique(picks.astype(int))]
  found = [frames for frames in read if frames is not None]
  if not found:
    raise tfrecord.BadRecordError(
      f"{source.paths[0]}: not one of {len(read)} records can be used."
    )
  return found


def _moments(codes):
  deviation = codes.std(axis=0)
  least = np.float32(_LEAST_DEVIATION) * (deviation.mean() or np.float32(1))
  return {
    "mean": codes.mean(axis=0),
    "deviation": np.maximum(deviation, least),
  }
