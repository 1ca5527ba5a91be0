"""The synthetic benchmark: one fixed set, pinned by its labels.

Its version is the generator's: other pictures or labels are another benchmark,
with another name, so that figures of one name mean the same to everyone.

How it is pinned. Machines differ in the last bits, and a hash forgives none,
so each label is pinned by what suits its numbers:

- Labels that are drawn (pose, expression, action units, light) are float64
  and differ by about 1e-15 between machines. They are hashed after rounding
  to 1e-3; that a number lies so near to a rounding edge that such a difference
  moves it across has a chance of about 1e-6 for the whole set.
- Landmarks pass through float32 (1e-5 px). Rounding would flip one in a
  thousand of them, so they are pinned by sums with random signs: a shift of
  any one landmark by more than `_TOLERANCE_PX` shows, while differences of
  1e-5 px over the 1.3 million numbers add up to about 0.01 px.
- landmarks_visible depends on whole pixels, and follows from the rest.
"""

import dataclasses
import hashlib
import logging
from collections.abc import Iterable

import numpy as np

from facerep_jax import errors
from facerep_jax.data import build, extract
from facerep_jax.synthetic import generator

_log = logging.getLogger(__name__)

NAME = f"synthetic-benchmark-v{generator.VERSION}"
NUM_PEOPLE, TRACKS_PER_PERSON, NUM_FRAMES, SIZE_PX = 600, 2, 8, 128
SEED = 68  # Of no other set's defaults: its people are its own.
PLAN = build.Plan(shares=(60, 10, 30), seed=SEED)

_ROUNDED = (
  "identity",
  "yaw_rad",
  "pitch_rad",
  "roll_rad",
  "expression",
  "expression_intensity",
  "action_units",
  "light",
)
_STEP = 1e-3
_TOLERANCE_PX = 0.1


@dataclasses.dataclass(frozen=True)
class Pin:
  """What the labels of the first people of the set must be.

  Attributes:
    drawn: SHA-256 of all drawn labels, rounded to 1e-3.
    landmarks: Four sums of all landmarks with random signs, px.
  """

  drawn: str
  landmarks: tuple[float, ...]


# By how many people are looked at: a few for a quick look, and all.
PINS = {
  12: Pin(
    "9d44779dbcebed4ab54d0841cbb95cbee1d7331ea4bae39ae7af23194b819500",
    (8521.569, -1496.737, -15512.172, 12951.511),
  ),
  600: Pin(
    "283b5a33d6e3789b55e4a7dbda793708ee923f9f582bb2ae43e7bf413f879d87",
    (207100.222, 104407.677, 98171.3, 47830.087),
  ),
}


def settings(is_with_maps: bool = False) -> extract.Settings:
  """Returns how the benchmark's records are made."""
  return extract.Settings(
    size_px=SIZE_PX,
    seed=SEED,
    num_people=NUM_PEOPLE,
    tracks_per_person=TRACKS_PER_PERSON,
    num_frames=NUM_FRAMES,
    maps=is_with_maps,
  )


def measure(num_people: int) -> Pin:
  """Computes the labels of the first people as this machine has them.

  Args:
    num_people: How many; all `NUM_PEOPLE` take ten seconds.

  Returns:
    What they come to.
  """
  made = generator.Settings(
    seed=SEED,
    num_people=NUM_PEOPLE,
    tracks_per_person=TRACKS_PER_PERSON,
    num_frames=NUM_FRAMES,
    size_px=SIZE_PX,
  )
  digest, sums = hashlib.sha256(), np.zeros(4)
  for person in range(num_people):
    for track in range(TRACKS_PER_PERSON):
      labels = generator.draw_labels(made, person, track)
      for name in _ROUNDED:
        digest.update(name.encode())
        digest.update(_round(labels[name]).tobytes())
      points = labels["landmarks_px"]
      coin = np.random.default_rng([SEED, person, track])
      signs = 2 * coin.integers(0, 2, (4, *points.shape)) - 1
      sums += (signs * points).sum((1, 2, 3))
  return Pin(digest.hexdigest(), tuple(round(float(x), 3) for x in sums))


def _round(values: np.ndarray) -> np.ndarray:
  """Counts steps of 1e-3, little-endian for every machine."""
  return np.rint(np.asarray(values) / _STEP).astype("<i8")


def differences(want: Pin, got: Pin) -> list[str]:
  """Says in what two pins differ beyond rounding; [] if in nothing."""
  out = []
  if want.drawn != got.drawn:
    out.append("drawn labels")
  apart = np.abs(np.subtract(want.landmarks, got.landmarks)).max()
  if apart > _TOLERANCE_PX:
    out.append(f"landmarks (a sum is {apart:.3g} px off)")
  return out


def check(numbers: Iterable[int] = tuple(PINS)) -> None:
  """Compares this machine's labels to the benchmark's.

  Args:
    numbers: Keys of `PINS`.

  Raises:
    InputError: They differ: pictures made here would be another set.
  """
  _log.info("%s: comparing this machine's labels to the pinned ones", NAME)
  for number in numbers:
    wrong = differences(PINS[number], measure(number))
    if wrong:
      raise errors.InputError(
        f"{NAME}: this machine draws other labels than the benchmark's: "
        f"{' and '.join(wrong)}. NumPy {np.__version__} may draw other random "
        "numbers; use one that the package declares."
      )
