"""What both readers of video share: limits, refusals, facts about a file."""

import collections
import dataclasses

from facerep_jax import errors
from facerep_jax.files import images

THUMBNAIL_PX = (48, 32)  # Width and height of what cuts are found on.
CUT = "file ends early"  # Begins the reason of what is missing at the end.
DEFAULT_RATE = 25.0  # Where the file does not tell its frame rate.


class UnreadableError(errors.InputError):
  """A file that cannot be opened as a video, or not with its true colours."""


@dataclasses.dataclass
class Facts:
  """What a file says of itself, and what was assumed while it was read.

  Attributes:
    rate_fps: Frames a second, as the file declares them on average.
    skipped: Number of packets or frames that did not decode, by reason.
    notes: What was assumed or converted, by text: how often, or 1.
  """

  rate_fps: float = DEFAULT_RATE
  skipped: collections.Counter = dataclasses.field(
    default_factory=collections.Counter
  )
  notes: collections.Counter = dataclasses.field(
    default_factory=collections.Counter
  )


def unreadable(path: str, why: str) -> UnreadableError:
  """Returns the error that says why a file cannot be read."""
  return UnreadableError(f"{path}: not a video that can be read ({why}).")


def check_size(path: str, width: int, height: int) -> None:
  """Raises `UnreadableError` where frames are larger than images may be."""
  if width * height > images.MAX_PIXELS:
    raise unreadable(
      path,
      f"frames of {width} x {height} px, expected at most {images.MAX_PIXELS} "
      "px in all",
    )
