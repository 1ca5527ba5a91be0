"""From faces found in single frames to tracks: cuts, links, gaps, smoothing."""

import dataclasses
from collections.abc import Callable

import numpy as np

MIN_IOU = 0.3  # Between a face and the last place of the track it joins.
MAX_GAP_S = 1.0  # A face gone for longer starts a new track.
MIN_DETECTIONS = 3  # Shorter tracks are mostly false alarms.
MIN_SHARE = 0.3  # Of a track's frames in which the face must be detected.
SMOOTH_CENTRE_S = 0.1  # Standard deviations of the smoothing over time.
SMOOTH_SIZE_S = 0.4
_CUT_LEVELS = 8  # Histogram bins per channel.
_CUT_CONTRAST = 16.0  # Grey levels at which an edge has half its weight.
_CUT_EDGES = 0.5  # Limits to the measures of `frame_change`: always,
_CUT_PIXELS = 0.02  # and for a change that stands out from those around,
_CUT_SPIKE = 2.0  # by this factor,
_CUT_AROUND = 3  # within this many frames,
_CUT_COLOUR = 0.35  # or for one that need not.
_CUT_STRONG_PIXELS = 0.1


@dataclasses.dataclass
class FaceTrack:
  """One face over time.

  Attributes:
    index: [T] int64, consecutive numbers into the frames that were looked at.
    box_px: [T, 4] float32 x0, y0, x1, y1, smoothed.
    detected: [T] int64, 1 where the detector found the face, 0 where the box
      is interpolated.
    frontal: [T] int64, 1 where it found a nearly frontal face, 0 elsewhere;
      None if the detector cannot tell.
    face: [T] int64, which of the frame's faces it is where it was detected, in
      the detector's order; -1 elsewhere.
  """

  index: np.ndarray
  box_px: np.ndarray
  detected: np.ndarray
  frontal: np.ndarray | None = None
  face: np.ndarray | None = None

  def labels(self) -> dict[str, np.ndarray]:
    """Returns the labels of the track's frames, as in `schema.LABELS`."""
    labels = {"detected": self.detected, "box_px": self.box_px}
    return (
      labels if self.frontal is None else labels | {"frontal": self.frontal}
    )

  def take(self, kept: np.ndarray) -> "FaceTrack":
    """Returns the track of some of its frames; kept is [T] bool or a slice."""
    columns = {
      name: None if value is None else value[kept]
      for name, value in vars(self).items()
    }
    return FaceTrack(**columns)


def frame_change(before: np.ndarray, after: np.ndarray) -> np.ndarray:
  """Measures how much differs between two frames.

  Args:
    before: uint8 [h, w, 3], a frame reduced to a few dozen pixels.
    after: uint8 [h, w, 3], the next frame, reduced alike.

  Returns:
    float64 [3], each 0 where nothing changed: mean absolute difference (at most
    1), share of pixels whose colour leaves its histogram bin (at most 1), and
    one minus the correlation of the edges (at most 2).
  """
  a, b = _edges(before), _edges(after)
  energy = np.sqrt((a @ a) * (b @ b))
  return np.array(
    [
      np.abs(before.astype(np.float64) - after).mean() / 255,
      _histogram_change(before, after),
      1 - (a @ b) / energy if energy else 0.0,
    ]
  )


def _edges(image):
  """Returns the differences of neighbouring pixels, large ones compressed.

  Otherwise a caption that stays would outweigh the scene that changes.
  """
  image = image.astype(np.float64)
  steps = [np.diff(image, axis=axis).ravel() for axis in (0, 1)]
  edges = np.concatenate(steps)
  return edges / (np.abs(edges) + _CUT_CONTRAST)


def find_cuts(changes: np.ndarray) -> np.ndarray:
  """Tells between which frames a new scene starts.

  At a cut, the edges in the picture move all at once: either much of its colour
  changes, too, or the frames around are much more alike (a fast camera moves
  for many frames).

  Args:
    changes: [N, 3] `frame_change` of successive frames.

  Returns:
    [N] bool.
  """
  pixels, colour, edges = np.asarray(changes, np.float64).reshape(-1, 3).T
  around = np.zeros(len(edges))
  for shift in range(1, _CUT_AROUND + 1):
    around[shift:] = np.maximum(around[shift:], edges[:-shift])
    around[:-shift] = np.maximum(around[:-shift], edges[shift:])
  is_new = (colour > _CUT_COLOUR) & (pixels > _CUT_STRONG_PIXELS)
  is_spike = (pixels > _CUT_PIXELS) & (edges > _CUT_SPIKE * around)
  return (edges > _CUT_EDGES) & (is_new | is_spike)


def _histogram_change(before, after):
  """Returns the share of pixels that change their bin, mean over channels."""
  step = 256 // _CUT_LEVELS
  changes = []
  for channel in range(3):
    a, b = (
      np.bincount(x[..., channel].ravel() // step, minlength=_CUT_LEVELS)
      for x in (before, after)
    )
    changes.append(np.abs(a - b).sum() / (2 * a.sum()))
  return np.mean(changes)


def iou(a: np.ndarray, b: np.ndarray) -> np.ndarray:
  """Computes intersection over union of all pairs.

  Args:
    a: [N, 4] x0, y0, x1, y1.
    b: [M, 4].

  Returns:
    [N, M] float, 0 to 1.
  """
  low = np.maximum(a[:, None, :2], b[None, :, :2])
  high = np.minimum(a[:, None, 2:4], b[None, :, 2:4])
  inner = np.prod(np.maximum(high - low, 0), axis=-1)
  area_a = np.prod(a[:, 2:4] - a[:, :2], axis=-1)
  area_b = np.prod(b[:, 2:4] - b[:, :2], axis=-1)
  return inner / np.maximum(area_a[:, None] + area_b - inner, 1e-9)


# Maps the n frames in which a face was linked, and which of their faces it is,
# to the parts of these links that are one track each.
Divide = Callable[[np.ndarray, np.ndarray], list[slice]]


def follow(
  times_s: np.ndarray,
  faces: list[np.ndarray],
  cuts: np.ndarray,
  divide: Divide = lambda frames, numbers: [slice(None)],
) -> list[FaceTrack]:
  """Links the faces of single frames into tracks.

  Args:
    times_s: [N] time of each frame looked at, ascending.
    faces: N arrays [K, 5 or 6], best first, as detectors return them.
    cuts: [N] bool, True where a new scene starts with this frame.
    divide: Tells where linked faces are no longer of one person.

  Returns:
    Tracks by first frame, then by place from left to right, without those of
    fewer than `MIN_DETECTIONS` detections or mostly interpolated.
  """
  parts = [
    links[part]
    for links in _link(times_s, faces, cuts)
    for part in divide(*(np.array([x[i] for x in links]) for i in (0, 1)))
  ]
  tracks = [_fill(x, times_s) for x in parts if len(x) >= MIN_DETECTIONS]
  tracks = [x for x in tracks if x.detected.mean() >= MIN_SHARE]
  return sorted(tracks, key=lambda x: (x.index[0], x.box_px[0, 0]))


def _link(times_s, faces, cuts):
  """Returns lists of (frame number, face's number, face), one a track."""
  done, live = [], []
  for i, found in enumerate(faces):
    is_over = [
      cuts[i] or times_s[i] - times_s[links[-1][0]] > MAX_GAP_S
      for links in live
    ]
    done += [links for links, over in zip(live, is_over) if over]
    live = [links for links, over in zip(live, is_over) if not over]
    last = np.array([links[-1][2][:4] for links in live]).reshape(-1, 4)
    free_tracks, free_faces = set(range(len(live))), set(range(len(found)))
    overlap = iou(last, found)
    for pair in np.argsort(-overlap, axis=None, kind="stable"):
      track, face = np.unravel_index(pair, overlap.shape)
      if overlap[track, face] < MIN_IOU:
        break
      if track in free_tracks and face in free_faces:
        free_tracks.remove(track)
        free_faces.remove(face)
        live[track].append((i, face, found[face]))
    live += [[(i, face, found[face])] for face in sorted(free_faces)]
  return done + live


def _fill(links, times_s):
  """Returns the track with its gaps interpolated and its boxes smoothed."""
  seen = np.array([i for i, *_ in links])
  faces = np.array([face for *_, face in links], np.float64)
  index = np.arange(seen[0], seen[-1] + 1)
  times = np.asarray(times_s, np.float64)[index]
  corners = np.stack(
    [np.interp(times, times_s[seen], column) for column in faces[:, :4].T], 1
  )
  centre = (corners[:, :2] + corners[:, 2:]) / 2
  size = corners[:, 2:] - corners[:, :2]
  centre = smooth(times, centre, SMOOTH_CENTRE_S)
  size = smooth(times, size, SMOOTH_SIZE_S)
  box_px = np.concatenate([centre - size / 2, centre + size / 2], 1)
  detected = np.isin(index, seen).astype(np.int64)
  frontal = None
  if faces.shape[1] > 5:
    frontal = np.zeros_like(detected)
    frontal[seen - seen[0]] = faces[:, 5]
  face = np.full_like(index, -1)
  face[seen - seen[0]] = [number for _, number, _ in links]
  return FaceTrack(index, box_px.astype(np.float32), detected, frontal, face)


def smooth(times_s: np.ndarray, values: np.ndarray, sigma_s: float):
  """Smooths over time with lines fitted under a Gaussian window.

  A line, not a mean: steady motion passes unchanged, at the ends too.

  Args:
    times_s: [T] times, ascending.
    values: [T, C].
    sigma_s: Standard deviation of the window.

  Returns:
    float64 [T, C].
  """
  times = np.asarray(times_s, np.float64)
  out = np.empty(values.shape, np.float64)
  reach = 4 * sigma_s
  for i, time in enumerate(times):
    near = slice(*np.searchsorted(times, [time - reach, time + reach]))
    gap = times[near] - time
    weight = np.exp(-0.5 * (gap / sigma_s) ** 2)
    weight /= weight.sum()
    mean_gap = weight @ gap
    mean = weight @ values[near]
    spread = weight @ (gap - mean_gap) ** 2
    slope = (weight * (gap - mean_gap)) @ values[near] / max(spread, 1e-12)
    out[i] = mean - slope * mean_gap
  return out
