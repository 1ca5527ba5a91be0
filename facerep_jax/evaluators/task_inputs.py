"""What the tasks of an evaluation are given: labelled sets, and networks."""

import dataclasses
import functools
from collections.abc import Sequence

from facerep_jax.data import photos
from facerep_jax.data.labelled import base as labelled_base
from facerep_jax.data.labelled import landmark_pose, open_set
from facerep_jax.evaluators import linear_probe, studies
from facerep_jax.inference import crop_choice

Opened = dict[str, labelled_base.Labelled] | labelled_base.Pairs


@dataclasses.dataclass(frozen=True)
class Inputs:
  """A labelled set, and what it is evaluated with.

  Attributes:
    text: The set, as `open_set.open_data` takes it.
    opened: Its parts by split, or pairs.
    networks: The run, and what it is compared with.
    num_folds: As for `studies.build`.
    saved: Linear probes of another evaluation, as `saved_probes.load` returns
      them; None: linear probes are fitted.
    detector: As `detect.make_detector` takes it.
    is_quick: Whether the set is a sample: its tracks are then left alone.
  """

  text: str
  opened: Opened
  networks: studies.Networks
  num_folds: int = 0
  saved: dict[str, tuple[linear_probe.LinearProbe, list[str]]] | None = None
  detector: str | None = None
  is_quick: bool = False

  @property
  def is_pairs(self) -> bool:
    """Whether the set holds pairs."""
    return isinstance(self.opened, labelled_base.Pairs)

  @property
  def is_split(self) -> bool:
    """Whether the set's own test part is measured, after fits to the rest."""
    has_rest = not self.is_pairs and len(self.opened) > 1
    return has_rest and "test" in self.opened and not self.num_folds

  @functools.cached_property
  def labels(self) -> set[str]:
    """Labels that all images have once they are cut; none for pairs."""
    if self.is_pairs:
      return set()
    parts = self.opened.values()
    labels = set.intersection(*(set(part.labels) for part in parts))
    return labels | ({"landmarks_ndc"} if "landmarks_px" in labels else set())

  @property
  def folder(self) -> str | None:
    """Folder of the tracks; None for other kinds of sets."""
    return open_set.folder(self.text)


def open_data(
  text: str, *, crop: str | None = None, fit_pose: bool = False
) -> Opened:
  """Opens a labelled set.

  Args:
    text: As `open_set.open_data` takes it.
    crop: One of `labelled.base.CUTS`, how the images are cut; None: as the
      set's kind says.
    fit_pose: Whether the pose is derived from 68 landmarks where it is not
      labelled.

  Returns:
    Its parts by split, or pairs.

  Raises:
    InputError: The text is not understood, or the set is missing or damaged.
  """
  opened = open_set.open_data(text)
  if isinstance(opened, labelled_base.Pairs):
    return dataclasses.replace(opened, images=_recut(opened.images, crop))
  opened = {k: _recut(v, crop) for k, v in opened.items()}
  has_points = all("landmarks_px" in x.labels for x in opened.values())
  if fit_pose and has_points:
    opened = {k: landmark_pose.add(v) for k, v in opened.items()}
  return opened


def _recut(labelled, cut):
  return dataclasses.replace(labelled, cut=cut or labelled.cut)


def find_face(
  parts: Sequence[labelled_base.Labelled], detector: str | None = None
) -> photos.Cutter | None:
  """Makes what cuts the face out of each photo of a set.

  Args:
    parts: All parts of the set; they are cut alike.
    detector: As `detect.make_detector` takes it.

  Returns:
    As `crop_choice.choose`; None where the images are no photos.

  Raises:
    InputError: No detector is installed, and one is needed.
  """
  if parts[0].cut != "photo":
    return None
  places = [(part, i) for part in parts for i in range(len(part))]

  def read(number):
    part, i = places[number]
    return part.read(i)

  name = parts[0].name
  return crop_choice.choose("auto", name, len(places), read, detector)
