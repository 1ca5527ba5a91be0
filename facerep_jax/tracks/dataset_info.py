"""Metadata, for `tfds.builder_from_directory` to open a folder of tracks."""

import os
from collections.abc import Iterable, Mapping

import numpy as np
import tensorflow_datasets as tfds

from facerep_jax.tracks import schema

NAME = "tracks"


def shard_name(split: str, number: int, total: int) -> str:
  """Returns the file name of a shard, as TFDS expects it by default."""
  return f"{NAME}-{split}.tfrecord-{number:05d}-of-{total:05d}"


def features(size_px: int, labels: Iterable[str]) -> tfds.features.FeaturesDict:
  """Describes the records of `schema.serialize` to TFDS.

  Args:
    size_px: Side of the stored frames.
    labels: Names, of `schema.LABELS` and `schema.MAPS`, that every record has.

  Returns:
    The features; `deserialize_example_np` of a record gives the frames decoded.
  """
  kinds = tfds.features
  out = {name: kinds.Text() for name in ("person", "video", "track")}
  out["chunk"] = kinds.Scalar(np.int64)
  out["frames"] = kinds.Sequence(kinds.Image(shape=(size_px, size_px, 3)))
  out["frame_index"] = kinds.Sequence(kinds.Scalar(np.int64))
  for name in sorted(labels):
    if name in schema.MAPS:
      picture = kinds.Image(
        shape=(size_px, size_px, 1),
        dtype=schema.MAPS[name],
        encoding_format="png",
      )
      out[name] = kinds.Sequence(picture)
      continue
    dtype, shape = schema.LABELS[name]
    out[name] = kinds.Sequence(kinds.Tensor(shape=shape, dtype=dtype))
  return kinds.FeaturesDict(out)


def write(
  directory: str | os.PathLike,
  size_px: int,
  labels: Iterable[str],
  shards: Mapping[str, list[tuple[int, int]]],
  description: str,
) -> None:
  """Writes dataset_info.json and features.json, without TensorFlow.

  Args:
    directory: Folder that holds the shards.
    size_px: Side of the stored frames.
    labels: Labels and maps that every record has.
    shards: By split, the number of records and of their bytes of each shard.
    description: What the dataset is.
  """
  splits = [
    tfds.core.SplitInfo(
      name=split,
      shard_lengths=[count for count, _ in sizes],
      num_bytes=sum(num_bytes for _, num_bytes in sizes),
    )
    for split, sizes in shards.items()
  ]
  tfds.folder_dataset.write_metadata(
    data_dir=os.fspath(directory),
    features=features(size_px, labels),
    split_infos=splits,
    check_data=False,  # Would read with TensorFlow.
    description=description,
  )
