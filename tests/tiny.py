"""A small set of face tracks and a small config, for tests of training."""

import json
import pathlib

import numpy as np

from configs import fabnet
from facerep_jax.files import images
from facerep_jax.tracks import index, schema, tfrecord

SIZE_PX = 40
PEOPLE = {"train": range(0, 6), "validation": range(6, 9), "test": range(9, 12)}


def track(person: int, num_frames: int = 6, recording: int = 0) -> schema.Track:
  """A track in which a blob moves with the yaw label."""
  rng = np.random.default_rng(person)
  y, x = np.mgrid[:SIZE_PX, :SIZE_PX] / SIZE_PX
  colour = rng.uniform(40, 200, 3)
  yaws = rng.uniform(-1, 1, (recording + 1, num_frames)).astype(np.float32)
  yaw = yaws[recording]
  frames = []
  for angle in yaw:
    blob = np.exp(-((x - 0.5 - 0.2 * angle) ** 2 + (y - 0.4) ** 2) / 0.02)
    pixels = colour * 0.5 + 120 * blob[..., None]
    frames.append(images.encode_jpeg(pixels.astype(np.uint8), 95))
  return schema.Track(
    f"p{person:02d}",
    "v0",
    f"{recording:05d}",
    0,
    frames,
    np.arange(num_frames),
    {"yaw_rad": yaw},
  )


def write_tracks(folder: pathlib.Path, recordings: int = 1) -> str:
  """Writes a set of 6, 3 and 3 people; returns its folder."""
  folder.mkdir(parents=True, exist_ok=True)
  for split, people in PEOPLE.items():
    path = folder / f"tracks-{split}.tfrecord-00000-of-00001"
    with tfrecord.Writer(path) as writer:
      for person in people:
        for i in range(recordings):
          writer.write(schema.serialize(track(person, recording=i)))
    index.write(path)
  (folder / "manifest.json").write_text(json.dumps({"format": 1}))
  return str(folder)


def config(data_path: str, **changes):
  """The demo's config at a size that trains in seconds."""
  out = fabnet.get_config("demo")
  out.data.path = data_path
  out.steps = 6
  out.batch_size = 8
  out.model.update(size_px=32, width=4, embed_dim=8)
  out.every.update(log=2, eval=3, pictures=0)
  out.curriculum.use = True
  return change(out, **changes)


def change(config, **changes):
  """Sets values of a config; `every__log` names `config.every.log`."""
  for name, value in changes.items():
    node = config
    *parents, last = name.split("__")
    for parent in parents:
      node = node[parent]
    node[last] = value
  return config
