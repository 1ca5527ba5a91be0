"""Small datasets whose frames tell by their colour where they come from."""

import io
import os

import numpy as np
from PIL import Image

from facerep_jax.data import samples as sampling
from facerep_jax.tracks import schema, tfrecord, track_source

SIZE = 16


def frame(red, green=0, blue=0, size=32):
  """PNG of one colour, which no crop changes; its size is always the same."""
  pixels = np.full((size, size, 3), (red, green, blue), np.uint8)
  buffer = io.BytesIO()
  Image.fromarray(pixels).save(buffer, "PNG", compress_level=0)
  return buffer.getvalue()


def track(number, num_frames=4, person=None, video="v", labels=None):
  """Frame t of the chunk has the colour (number, t, 0)."""
  return schema.Track(
    person=f"p{number}" if person is None else person,
    video=video,
    track="t",
    chunk=number,
    frames=[frame(number, t) for t in range(num_frames)],
    frame_index=np.arange(num_frames),
    labels=labels or {},
  )


def write_shard(path, records):
  """Writes tracks, or bytes as they are."""
  with tfrecord.Writer(path) as writer:
    for record in records:
      if isinstance(record, schema.Track):
        record = schema.serialize(record)
      writer.write(record)
  return os.fspath(path)


def write_dataset(folder, records, split="train", num_shards=1):
  """Writes a folder as `make_tracks` does; returns the paths of its shards."""
  os.makedirs(folder, exist_ok=True)
  paths = []
  for shard in range(num_shards):
    name = f"tracks-{split}.tfrecord-{shard:05d}-of-{num_shards:05d}"
    part = np.array_split(np.arange(len(records)), num_shards)[shard]
    path = os.path.join(folder, name)
    paths.append(write_shard(path, [records[i] for i in part]))
  with open(os.path.join(folder, "manifest.json"), "w") as file:
    file.write("{}\n")
  return paths


def flip(path, position):
  """Changes one bit of a file; its size stays."""
  with open(path, "r+b") as file:
    file.seek(position)
    byte = file.read(1)[0]
    file.seek(position)
    file.write(bytes([byte ^ 4]))


def source_of(folder, split="train", **options):
  """Opens the tracks that `write_dataset` wrote."""
  return track_source.TrackSource(folder, split, **options)


def samples_of(source, num_frames=2, **options):
  """Samples of small frames; `options` are those of `Sampling`."""
  on_bad = options.pop("on_bad_record", "error")
  return sampling.Samples(
    source,
    sampling.Sampling(num_frames, SIZE, on_bad_record=on_bad, **options),
  )


def assert_same(got, want):
  """Compares two samples or batches, name by name."""
  assert got.keys() == want.keys()
  for name, value in got.items():
    np.testing.assert_array_equal(value, want[name], strict=True)


def damage(folder, number, split="train"):
  """Damages the data of a record of the only shard."""
  [path] = track_source.shard_paths(folder, split)
  offset, length = list(tfrecord.scan(path))[number]
  flip(path, offset + length // 2)
  return path
