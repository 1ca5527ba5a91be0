"""Shape, viewpoint and texture that runs find, on tracks with depth maps."""

import pathlib
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from facerep_jax import cli, sharding
from facerep_jax.evaluators import (
  albedo_leak,
  base,
  geometry,
  pose,
  probe_tasks,
  studies,
  viewpoint,
)
from facerep_jax.files import decode
from facerep_jax.inference import api
from facerep_jax.ops import camera as camera_ops
from facerep_jax.synthetic import depth as depth_maps
from facerep_jax.tracks import splits, track_source

_ANGLES = tuple(f"{name}_rad" for name in pose.ANGLES)
_LABELS = (*_ANGLES, "focal_px")
_MAPS = ("depth_png",)
_AXES = (1, 0, 2)  # Turns about y, x, z are yaw, pitch, roll.
_FACTORS = ("depth", "mask", "view", "albedo")
_MAX_FRAMES = 1000  # Of the training part, and of the test part.
_PROTOCOL = {
  "geometry": "depth in the input view against the truth in the model's "
  "camera, where the eroded masks overlap; the average face is that of the "
  "training part, the baselines are measured on the run's pixels",
  "geometry_view": "errors of a line for each angle, fitted on training "
  "people; slopes of the predicted angle over the true one, on test people",
  "geometry_albedo": "ridge to yaw of the albedo's colours in 8 x 8 cells",
}


class Frames(NamedTuple):
  """Frames as a network sees them, and what is true of them.

  Attributes:
    pixels: [N, S, S, 3] uint8.
    true: Depth in the model's camera.
    angles_rad: [N, 3] float64, yaw, pitch, roll.
    group: [N] person.
  """

  pixels: np.ndarray
  true: geometry.Maps
  angles_rad: np.ndarray
  group: np.ndarray


class _Part(NamedTuple):
  """Frames of some people and the factors that a run finds in them."""

  frames: Frames
  found: dict[str, np.ndarray]

  @property
  def maps(self):
    return geometry.Maps(self.found["depth"], self.found["mask"])

  @property
  def view_rad(self):
    return self.found["view"][:, _AXES]


def is_possible(networks: studies.Networks, folder: str) -> bool:
  """Says whether a run has factors, and tracks the depth to hold against."""
  if networks.run.system.factors is None or not _has("test", folder):
    return False
  track = track_source.TrackSource(folder, "test").read(0, _LABELS, _MAPS)
  return set(track.labels) == set(_LABELS) and bool(track.maps)


def run(networks: studies.Networks, folder: str) -> list[dict[str, Any]]:
  """Measures depth, viewpoint and albedo on the test part.

  Args:
    networks: The run, the runs beside it, and random weights.
    folder: Face tracks with depth maps.

  Returns:
    Task entries of results.json: `geometry`, `geometry_view` and
    `geometry_albedo`.

  Raises:
    InputError: The tracks have no training part, or a frame cannot be used.
  """
  entries = {task: [] for task in _PROTOCOL}
  for name, kind, model in networks.models():
    if model.system.factors is None:
      continue
    step = sharding.jit_on_batch(_chosen(model.system.factors), model.mesh)
    train, test = (
      _find(model, step, read(model, folder, names)) for names in _parts(folder)
    )
    feature = probe_tasks.Feature(name, kind, None)
    for task, (width, measured) in _measure(model, train, test).items():
      entries[task].append(probe_tasks.entry(feature, width, measured))
    if kind == "run":
      shown, baselines = (train, test), _baselines(model, train, test)
  for task, name, width, measured in baselines:
    feature = probe_tasks.Feature(name, "baseline", None)
    entries[task].append(probe_tasks.entry(feature, width, measured))
  return [_task(task, found, *shown) for task, found in entries.items()]


def read(
  model: api.Representation, folder: str, names: tuple[str, ...]
) -> Frames:
  """Reads frames of some splits and cuts them as a run sees them.

  Args:
    model: The run.
    folder: Face tracks with depth maps.
    names: Of the splits.

  Returns:
    Up to 1000 frames, evenly spread; frames in whose crop no face is seen are
    left out.

  Raises:
    InputError: A split or a frame cannot be used.
  """
  rows = []
  for name in names:
    source = track_source.TrackSource(folder, name)
    count = int(source.index.num_frames.sum())
    wanted = -(-_MAX_FRAMES * count // _count(folder, names))
    chosen = np.unique(
      np.linspace(0, count - 1, min(count, wanted)).astype(int)
    )
    ends = np.cumsum(source.index.num_frames)
    for record in range(len(source)):
      start = ends[record] - source.index.num_frames[record]
      here = chosen[(chosen >= start) & (chosen < ends[record])] - start
      if len(here):
        rows += _rows(model, source, record, here)
  rows = [row for row in rows if row[2].any()]
  pixels, depth, mask, focal, angles, group = (
    np.stack(column) for column in zip(*rows)
  )
  camera = camera_ops.Camera(model.size_px)
  true = geometry.to_model_camera(depth, mask, focal, camera)
  return Frames(pixels, true, angles, group)


def _count(folder, names):
  return sum(
    int(track_source.TrackSource(folder, name).index.num_frames.sum())
    for name in names
  )


def _rows(model, source, record, chosen):
  """Returns pixels, depth, mask, focal length, angles, person of frames."""
  track = source.read(record, _LABELS, _MAPS)
  square, size = model.square(), model.size_px
  rows = []
  for i in chosen:
    name = f"{source.name(record)}: frame {i}"
    image = decode.decode(track.frames[i], name)
    true = depth_maps.decode_depth(track.maps["depth_png"][i])
    depth, mask = geometry.cut(true, square, size)
    focal = track.labels["focal_px"][i] * size / (square[2] * len(true))
    angles = np.array([track.labels[label][i] for label in _ANGLES], float)
    pixels = model.crop(image, int(i))
    rows.append((pixels, depth, mask, focal, angles, track.person))
  return rows


def _parts(folder):
  """Returns the splits that are fitted to, and those that are measured."""
  fitted = [name for name in splits.NAMES[:2] if _has(name, folder)]
  return tuple(fitted or splits.NAMES[:1]), splits.NAMES[2:]


def _has(split, folder):
  return any(pathlib.Path(folder).glob(f"*-{split}.tfrecord-*-of-*"))


def _find(model, step, frames):
  """Applies a run's compiled `step` to frames."""
  rows = sharding.round_up(api.BATCH_SIZE, model.mesh)
  with cli.Progress(len(frames.pixels), "frames", "taken apart") as bar:
    found = sharding.map_batches(
      step, model.variables, _batches(frames, rows, bar), rows, model.mesh
    )
  return _Part(frames, found)


def _batches(frames, rows, bar):
  """Yields images in [0, 1], and counts those whose factors are found."""
  for start in range(0, len(frames.pixels), rows):
    pixels = frames.pixels[start : start + rows]
    yield pixels / np.float32(255)
    bar.advance(len(pixels), len(pixels))


def _chosen(factors: Callable) -> Callable:
  """Returns a function that gives only the factors that are measured."""

  def function(variables, images01):
    out = factors(variables, images01)
    return {name: out[name] for name in _FACTORS}

  return function


def _measure(model, train, test):
  """Returns the width and what is measured, by task."""
  camera, group = camera_ops.Camera(model.size_px), test.frames.group
  depth = geometry.measure(test.maps, test.frames.true, group, camera)
  lines = viewpoint.fit(train.view_rad, train.frames.angles_rad)
  angles = viewpoint.measure(
    test.view_rad, test.frames.angles_rad, lines, group
  )
  leak = _leak(train, test, train.found["albedo"], test.found["albedo"])
  return {
    "geometry": (model.size_px**2, depth),
    "geometry_view": (3, angles),
    "geometry_albedo": (3 * albedo_leak.CELLS**2, leak),
  }


def _leak(train, test, fitted01, measured01) -> base.Measured:
  found = albedo_leak.fit(
    fitted01, train.frames.angles_rad[:, 0], train.frames.group
  )
  return albedo_leak.measure(
    measured01, test.frames.angles_rad[:, 0], found, test.frames.group
  )


def _baselines(model, train, test):
  """Returns task, name, width and what is measured of rules without a run."""
  camera, group = camera_ops.Camera(model.size_px), test.frames.group
  true, mask = test.frames.true, test.found["mask"]
  flat = np.full(true.depth.shape[1:], camera.centre_depth)
  face = geometry.average(train.frames.true)
  out = []
  for name, depth in (("average face", face), ("flat depth", flat)):
    # On the run's own pixels.
    maps = geometry.Maps(np.broadcast_to(depth, true.depth.shape), mask)
    measured = geometry.measure(maps, true, group, camera)
    out.append(("geometry", name, depth.size, measured))
  inputs01 = (part.frames.pixels / np.float32(255) for part in (train, test))
  width = 3 * albedo_leak.CELLS**2
  leak = _leak(train, test, *inputs01)
  out.append(("geometry_albedo", "the input itself", width, leak))
  return out


def _task(task, entries, train, test):
  """Returns a task's entry of results.json."""
  return {
    "task": task,
    "dataset": "tracks",
    "split": "test",
    "crop": "track",
    "protocol": _PROTOCOL[task],
    "num_train": 0 if task == "geometry" else len(train.frames.group),
    "num_test": len(test.frames.group),
    "num_people": len(np.unique(test.frames.group)),
    "entries": entries,
  }
