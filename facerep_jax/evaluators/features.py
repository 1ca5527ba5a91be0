"""Features of labelled images: of a network, and the baselines beside it."""

import dataclasses
import functools
import hashlib
import os
import pathlib
from collections.abc import Sequence
from concurrent import futures

import flax
import jax
import numpy as np

from facerep_jax import cli, errors
from facerep_jax.data import photos
from facerep_jax.data.labelled import base as labelled_base
from facerep_jax.evaluators import (
  base,
  feature_cache,
  feature_roles,
  gradient_histograms,
  linear_probe,
)
from facerep_jax.inference import api
from facerep_jax.runs import stages

PIXELS, HOG = "pixels (PCA)", "HOG"
RANDOM, SUPERVISED = "random weights", "supervised"
_BLOCK = 256  # Images between two signs of progress.


class Crops:
  """Labelled images as a network sees them.

  Attributes:
    source: Where they come from.
    pixels: [N, S, S, 3] uint8.
    labels: As the source's; `landmarks_px` in pixels of the crop, and
      `landmarks_ndc`, the same in [-1, 1] of it.
    group: [N] person, or the image's number where people are unknown.
  """

  def __init__(self, source: labelled_base.Labelled, pixels, labels):
    self.source, self.pixels, self.labels = source, pixels, labels
    count = len(pixels)
    known = source.group is not None
    self.group = np.asarray(source.group) if known else np.arange(count)

  def __len__(self) -> int:
    return len(self.pixels)

  def take(self, index: np.ndarray) -> "Crops":
    """Returns some of them, [K] int or [N] bool."""
    labels = {name: value[index] for name, value in self.labels.items()}
    source = labelled_base.subset(self.source, np.arange(len(self))[index])
    return Crops(source, self.pixels[index], labels)


def crop(
  source: labelled_base.Labelled,
  model: api.Representation,
  find_face: photos.Cutter | None = None,
) -> Crops:
  """Cuts every image as the run was trained, for all features alike.

  Args:
    source: Labelled images.
    model: The run.
    find_face: What cuts a face out of a photo; needed where `source.cut` is
      "photo".

  Returns:
    The crops and their labels.

  Raises:
    InputError: An image cannot be read, or landmarks are given for photos in
      which the face is yet to be found.
  """
  if source.cut == "photo" and (
    find_face is None or "landmarks_px" in source.labels
  ):
    raise errors.InputError(
      f"{source.name}: landmarks need images that are cut to the face; choose "
      "--crop=track or --crop=face."
    )
  count, size = len(source.names), model.size_px
  pixels = np.empty((count, size, size, 3), np.uint8)
  places = np.empty((count, 3))  # Left, top, side; px of the image.
  is_cropped = source.cut == "face"

  def one(i):
    image = source.read(i)
    if source.cut == "photo":
      image = find_face(image).image
    pixels[i] = model.crop(image, i, is_cropped=is_cropped)
    places[i] = model.place(image.shape, is_cropped=is_cropped)

  what = f"of {source.name} {source.split}"
  with (
    cli.Progress(count, "images", what) as bar,
    futures.ThreadPoolExecutor(os.cpu_count()) as pool,
  ):
    for start in range(0, count, _BLOCK):
      rows = range(start, min(start + _BLOCK, count))
      list(pool.map(one, rows))
      bar.advance(len(rows), len(rows))
  return Crops(source, pixels, _move_landmarks(source.labels, places, size))


def _move_landmarks(labels, places, size_px):
  """Adds landmarks in the crop's coordinates."""
  labels = dict(labels)
  if "landmarks_px" in labels:
    points = np.asarray(labels["landmarks_px"], np.float64)
    corner, side = places[:, None, :2], places[:, None, 2:]
    # The centre of the first pixel is at 0, its edge at -0.5.
    unit = (points + 0.5 - corner) / side
    labels["landmarks_ndc"] = 2 * unit - 1
    labels["landmarks_px"] = unit * size_px - 0.5
  return labels


def join(parts: Sequence[Crops]) -> Crops:
  """Puts parts of a set behind each other.

  Args:
    parts: Of one set.

  Returns:
    All of them as one, with the labels that all have.
  """
  if len(parts) == 1:
    return parts[0]
  common = set.intersection(*(set(part.labels) for part in parts))
  labels = {
    name: np.concatenate([part.labels[name] for part in parts])
    for name in parts[0].labels
    if name in common
  }
  sources = [
    dataclasses.replace(
      part.source,
      labels={k: v for k, v in part.source.labels.items() if k in common},
    )
    for part in parts
  ]
  source = labelled_base.concatenate(sources)
  return Crops(source, np.concatenate([p.pixels for p in parts]), labels)


class Pixels:
  """Principal components of raw pixels, fitted on training images.

  Attributes:
    mean: [S * S * 3] float32.
    components: [K, S * S * 3] float32.
  """

  def __init__(self, mean: np.ndarray, components: np.ndarray):
    self.mean, self.components = mean, components

  @classmethod
  def fit(cls, pixels: np.ndarray, width: int) -> "Pixels":
    """Finds the components.

    Args:
      pixels: [N, S, S, 3] uint8.
      width: How many; fewer where the images do not span as many.
    """
    numbers = flat(pixels)
    width = min(width, len(numbers) - 1, numbers.shape[1])
    pca = base.sklearn("decomposition").PCA(
      width, svd_solver="randomized", random_state=0
    )
    pca.fit(numbers)
    return cls(pca.mean_.astype(np.float32), pca.components_.astype(np.float32))

  def __call__(self, pixels: np.ndarray) -> np.ndarray:
    """Maps [N, S, S, 3] uint8 to [N, K] float32."""
    parts = [
      (flat(pixels[i : i + _BLOCK]) - self.mean) @ self.components.T
      for i in range(0, len(pixels), _BLOCK)
    ]
    return np.concatenate(parts)

  def before(self, found: linear_probe.LinearProbe) -> linear_probe.LinearProbe:
    """Joins itself with a probe of its values to one of `flat` pixels."""
    weights = self.components.T @ (found.weights / found.scale[:, None])
    offset = found.offset - (found.mean / found.scale) @ found.weights
    return linear_probe.LinearProbe(
      mean=self.mean.astype(np.float64),
      scale=np.ones(len(self.mean)),
      weights=weights,
      offset=offset,
      strength=found.strength,
    )


def flat(pixels: np.ndarray) -> np.ndarray:
  """Returns [N, S, S, 3] uint8 as [N, S * S * 3] float32 in [0, 1]."""
  return pixels.reshape(len(pixels), -1).astype(np.float32) / 255


def hog(
  pixels: np.ndarray, cache: feature_cache.Cache | None = None
) -> np.ndarray:
  """Computes histograms of oriented gradients; see `gradient_histograms`.

  Args:
    pixels: [N, S, S, 3] uint8, S a multiple of 8.
    cache: Where they are kept; None: they are not.

  Returns:
    [N, 1764] float32.
  """
  kind = {"kind": HOG, "version": gradient_histograms.VERSION}
  found = (cache or feature_cache.Cache()).get(
    pixels, kind, (HOG,), lambda: {HOG: _hog(pixels)}
  )
  return found[HOG]


def _hog(pixels):
  parts = [pixels[i : i + _BLOCK] for i in range(0, len(pixels), _BLOCK)]
  rows = []
  with (
    cli.Progress(len(pixels), "images", "HOG") as bar,
    futures.ThreadPoolExecutor(os.cpu_count()) as pool,
  ):
    for found in pool.map(gradient_histograms.hog, parts):
      rows.append(found)
      bar.advance(len(found), len(found))
  return np.concatenate(rows)


def names(model: api.Representation) -> tuple[str, ...]:
  """Returns the names of a network's features, joined ones last."""
  found = model.feature_names
  return (*found, *feature_roles.joined(found))


def of_model(
  model: api.Representation,
  pixels: np.ndarray,
  names: Sequence[str] = (),
  cache: feature_cache.Cache | None = None,
) -> dict[str, np.ndarray]:
  """Computes a network's features of crops.

  Args:
    model: The network.
    pixels: [N, S, S, 3] uint8, cut; resized where the network sees another
      size.
    names: Features wanted, of those that it has; all by default, and where it
      has none of them.
    cache: Where features are kept; None: they are not.

  Returns:
    [N, D] float32 by name, those that are joined of others too.
  """
  if cache is None or cache.folder is None:
    found = _embedded(model, pixels)
  else:
    found = cache.get(
      pixels,
      _kind_of(model),
      model.feature_names,
      lambda: _embedded(model, pixels),
    )
  found = feature_roles.with_joined(found)
  chosen = [name for name in names if name in found]
  return {name: found[name] for name in chosen or found}


def _kind_of(model):
  """Returns what a network's features depend on beside the images."""
  return {
    "kind": "network",
    "code": _code(),
    "config": model.config.to_json(sort_keys=True),
    "weights": {
      name: stages.fingerprint(flax.core.unfreeze(arrays))
      for name, arrays in model.variables._asdict().items()
      if arrays
    },
    "device": model.mesh.devices.flat[0].device_kind,
  }


@functools.cache
def _code():
  """Names the code that computes features: this package's, and JAX's."""
  digest = hashlib.sha256(jax.__version__.encode())
  for path in sorted(pathlib.Path(errors.__file__).parent.rglob("*.py")):
    digest.update(path.read_bytes())
  return digest.hexdigest()


def _embedded(model, pixels):
  parts = []
  with cli.Progress(len(pixels), "images", "embedded") as bar:
    for start in range(0, len(pixels), _BLOCK):
      part = pixels[start : start + _BLOCK]
      parts.append(model.embed(part, is_cropped=True))
      bar.advance(len(part), len(part))
  return {k: np.concatenate([p[k] for p in parts]) for k in parts[0]}
