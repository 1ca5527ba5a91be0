"""What a split must hold: its records, compared with the set's manifest."""

import hashlib
import os
from typing import Any

import numpy as np

from facerep_jax import errors
from facerep_jax.files import atomic
from facerep_jax.tracks import index

MANIFEST = "manifest.json"
_HINT = "Make or copy the tracks again."


def digest(rows: index.Index) -> str:
  """Hashes which records a shard holds, and in which order.

  Args:
    rows: Its index, whose checksums stand for the data.

  Returns:
    32 hexadecimal digits.
  """
  out = hashlib.sha256()
  for column in (rows.length, rows.num_frames, rows.checksum):
    out.update(np.ascontiguousarray(column, "<i8").tobytes())
  return out.hexdigest()[:32]


def read_manifest(directory: str | os.PathLike) -> dict[str, Any]:
  """Reads the manifest of a set.

  Args:
    directory: Folder of the set, with a manifest.

  Returns:
    The manifest.

  Raises:
    InputError: It is damaged.
  """
  path = os.path.join(directory, MANIFEST)
  manifest = atomic.read_json(path, _HINT)
  known = manifest.get("splits", {})
  is_sound = isinstance(known, dict) and all(
    isinstance(one, dict) for one in known.values()
  )
  if not is_sound:
    raise errors.InputError(f"{path}: is damaged (splits). {_HINT}")
  return manifest


def differences(
  known: dict[str, Any], paths: list[str], shards: list[index.Index]
) -> list[str]:
  """Says where the records of a split are not those that were written.

  Args:
    known: What the manifest says of the split; {} if it says nothing.
    paths: Its shards.
    shards: Their indexes.

  Returns:
    A clause for each difference; [] if there is none. Of a
    manifest without checksums the counts are compared.
  """
  names = [os.path.basename(path) for path in paths]
  if known.get("shards", names) != names:
    return [f"the manifest names {len(known['shards'])} other shards"]
  checksums = known.get("checksums")
  if checksums is not None:
    return [
      f"{name} holds other records than were written there"
      for name, rows, want in zip(names, shards, checksums)
      if digest(rows) != want
    ]
  found = {
    "records": sum(len(rows.length) for rows in shards),
    "frames": sum(int(rows.num_frames.sum()) for rows in shards),
    "bytes": sum(int(rows.length.sum()) for rows in shards),
  }
  return [
    f"{value} {name} instead of {known[name]}"
    for name, value in found.items()
    if known.get(name, value) != value
  ]
