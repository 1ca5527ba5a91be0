"""Records with all their frames, for what is computed once of each frame."""

import numpy as np

from facerep_jax.data import samples
from facerep_jax.tracks import tfrecord


class WholeTracks(samples.Samples):
  """Record i with all its frames, in order, neither moved nor mirrored.

  They are resized on the host, whatever the sampling says.
  """

  def __len__(self):
    return len(self._source)

  def __getitem__(self, record: int) -> np.ndarray | None:
    """Reads a record.

    Args:
      record: Its number.

    Returns:
      [F, H, W, 3] uint8; None where it cannot be used and may be skipped.

    Raises:
      BadRecordError: It cannot be used.
    """
    count = int(self._source.index.num_frames[record])
    squares = [self._sampling.crop.middle()] * count
    size = self._sampling.size_px
    out = np.empty((count, size, size, 3), np.uint8)
    try:
      files = self._source.read(record, labels=()).frames
      self._cut(record, files, range(count), squares, out)
      return out
    except tfrecord.BadRecordError as error:
      if self._sampling.on_bad_record == "error":
        raise
      self._source.note_bad(record, error)
      return None
