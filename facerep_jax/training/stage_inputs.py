"""What a later stage takes over from the stage before it."""

import logging
import pathlib
from typing import Any

import jax
import numpy as np

from facerep_jax import errors, sharding
from facerep_jax.data import whole_tracks
from facerep_jax.inference import api
from facerep_jax.runs import configuration, stages
from facerep_jax.systems import base
from facerep_jax.tracks import tfrecord, track_source
from facerep_jax.training import wccn

_log = logging.getLogger(__name__)
_RECORDS = 128
_WCCN_RECORDS = 4096
_WCCN_FRAMES = 4  # Of each.
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
  if config.model.wccn:
    found["wccn"] = measure_wccn(stage, found, data_path)
  return found


def _statistics(stage, given, data_path):
  """Returns mean and deviation of training frames' codes, by network."""
  config = stage.config
  system = base.build(config)
  abstract = jax.eval_shape(system.init, jax.random.key(0))
  names = sorted(abstract.frozen["statistics"])
  source, rule = _training_tracks(config, system, data_path)
  read = _frames(source, rule, _RECORDS)
  frames = np.concatenate([frames for _, frames in read])
  rows = min(_ROWS, len(frames))
  whole = frames[: len(frames) // rows * rows]  # Batches that need no filling.
  codes = _encoder(system, given, rows)(whole)
  parts = np.split(codes, len(names), axis=1)
  return {name: _moments(part) for name, part in zip(names, parts)}


def measure_wccn(
  stage: stages.Stage, given: dict[str, Any], data_path: str
) -> dict[str, np.ndarray]:
  """Measures the map to the feature `identity_wccn` on training tracks.

  Args:
    stage: The stage of the diffusion model.
    given: Frozen parameters of the stage before, by its name.
    data_path: Face tracks.

  Returns:
    As `wccn.fit`, of the mean codes of frames and their mirror images.

  Raises:
    InputError: No record can be used, or nobody has several frames.
  """
  config = stage.config
  system = base.build(config)
  source, rule = _training_tracks(config, system, data_path)
  encode = _encoder(system, given, _ROWS)
  codes, person, waiting = [], [], []

  def encode_waiting():
    frames = np.stack(waiting)
    codes.append((encode(frames) + encode(frames[:, :, ::-1])) / 2)
    waiting.clear()

  for record, frames in _frames(source, rule, _WCCN_RECORDS):
    places = np.linspace(0, len(frames) - 1, min(_WCCN_FRAMES, len(frames)))
    some = frames[np.unique(places.astype(int))]
    waiting += list(some)
    person += [source.index.person[record]] * len(some)
    if len(waiting) >= _ROWS:
      encode_waiting()
  if waiting:
    encode_waiting()
  return wccn.fit(np.concatenate(codes), np.array(person))


def _training_tracks(config, system, data_path):
  """Opens the training split; returns it, and how its frames are cut."""
  _, rule = configuration.sampling(
    config, num_frames=system.num_frames, size_px=system.size_px
  )
  source = track_source.TrackSource(
    data_path, "train", on_bad_record=config.data.on_bad_record
  )
  return source, rule


def _encoder(system, given, rows):
  """Returns a function of frames [N, S, S, 3] uint8 to codes [N, K]."""
  mesh = sharding.make_mesh(jax.local_devices()[:1])
  encode = sharding.jit_on_batch(system.encode, mesh)
  return lambda frames: sharding.map_rows(encode, given, frames, rows, mesh)


def _frames(source, rule, most):
  """Yields number and frames of records spread over a split, no bad ones."""
  whole = whole_tracks.WholeTracks(source, rule)
  picks = np.linspace(0, len(source) - 1, min(most, len(source)))
  picks = np.unique(picks.astype(int)).tolist()
  is_empty = True
  for record in picks:
    frames = whole[record]
    if frames is not None:
      is_empty = False
      yield record, frames
  if is_empty:
    raise tfrecord.BadRecordError(
      f"{source.paths[0]}: not one of {len(picks)} records can be used."
    )


def _moments(codes):
  deviation = codes.std(axis=0)
  least = np.float32(_LEAST_DEVIATION) * (deviation.mean() or np.float32(1))
  return {
    "mean": codes.mean(axis=0),
    "deviation": np.maximum(deviation, least),
  }
