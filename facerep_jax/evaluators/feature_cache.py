"""Keeps the features of images between evaluations, in the folder of caches.

A file holds one array, under a hash of all that its numbers depend on. What
cannot be read or written is computed, and never stops an evaluation.
"""

import dataclasses
import hashlib
import io
import json
import logging
import os
import pathlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from facerep_jax import errors
from facerep_jax.files import atomic, places

_log = logging.getLogger(__name__)
_FOLDER, _SUFFIX = "features", ".npy"
_MOST_BYTES = 4 * 2**30
_DIGEST_BYTES = 32


@dataclasses.dataclass(frozen=True)
class Cache:
  """A folder of arrays.

  Attributes:
    folder: Where they lie; None: nothing is kept.
    most_bytes: Of all files together; those that were used last are kept.
  """

  folder: pathlib.Path | None = None
  most_bytes: int = _MOST_BYTES

  def get(
    self,
    pixels: np.ndarray,
    kind: Mapping[str, Any],
    names: tuple[str, ...],
    compute: Callable[[], dict[str, np.ndarray]],
  ) -> dict[str, np.ndarray]:
    """Returns features of images, computed unless all of them are kept.

    Args:
      pixels: [N, S, S, 3] uint8, the images.
      kind: What else the numbers depend on, such as a fingerprint of weights;
        can be written as JSON.
      names: Of the features.
      compute: Returns them by name, [N, D] float each.

    Returns:
      The features by name, exactly as they are or were computed.

    Raises:
      InputError: The folder is a symbolic link.
    """
    if self.folder is None:
      return compute()
    atomic.refuse_link(self.folder)
    shared = _key(pixels, kind)
    paths = {
      name: self.folder / f"{_hash(f'{shared} {name}'.encode())}{_SUFFIX}"
      for name in names
    }
    found = {name: _read(path) for name, path in paths.items()}
    if all(array is not None for array in found.values()):
      _log.info("features kept from before: %s", ", ".join(names))
      return found
    found = compute()
    for name, path in paths.items():
      self._write(path, found[name])
    return found

  def _write(self, path, array):
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    content = buffer.getvalue()
    if len(content) + _DIGEST_BYTES > self.most_bytes:
      return
    try:
      with atomic.whole(path) as temporary, open(temporary, "wb") as file:
        file.write(content)
        # Behind the array, where readers of .npy do not look.
        file.write(hashlib.sha256(content).digest())
      self._make_room()
    except OSError as error:
      _log.warning("%s: not kept: %s", path, error.strerror)

  def _make_room(self):
    """Deletes the files that were used longest ago, over `most_bytes`."""
    files = []
    for path in self.folder.glob(f"*{_SUFFIX}"):
      status = path.stat()
      files.append((status.st_mtime_ns, status.st_size, path))
    total = sum(size for _, size, _ in files)
    for _, size, path in sorted(files):
      if total <= self.most_bytes:
        break
      path.unlink(missing_ok=True)
      total -= size


def default() -> Cache:
  """Returns the cache below the folder of caches; an idle one without it."""
  try:
    return Cache(places.cache_root() / _FOLDER)
  except errors.InputError:
    return Cache()


def _key(pixels, kind):
  """Hashes images and what makes features of them."""
  digest = hashlib.sha256(json.dumps(kind, sort_keys=True).encode())
  digest.update(f" {pixels.dtype}{pixels.shape} ".encode())
  digest.update(np.ascontiguousarray(pixels))
  return digest.hexdigest()


def _hash(content):
  return hashlib.sha256(content).hexdigest()[:_DIGEST_BYTES]


def _read(path):
  """Returns the array of a file; None where there is none that is whole."""
  try:
    content = path.read_bytes()
    os.utime(path)  # What is used stays longest.
  except FileNotFoundError:
    return None
  except OSError as error:
    _log.warning("%s: %s; computed anew", path, error.strerror)
    return None
  content, digest = content[:-_DIGEST_BYTES], content[-_DIGEST_BYTES:]
  if hashlib.sha256(content).digest() != digest:
    _log.warning("%s: is damaged; computed anew", path)
    return None
  return np.load(io.BytesIO(content), allow_pickle=False)
