"""One frame of a recording: geometry, picture, landmarks."""

import dataclasses

import numpy as np

from facerep_jax.synthetic import (
  actions,
  albedo,
  camera,
  chart,
  glasses,
  head,
  inner,
  landmarks,
  occlusion,
  photo,
  picture,
  rasterise,
  shading,
  shadows,
)
from facerep_jax.synthetic.recording import Recording, Settings

_DEPTH_SLACK = 0.06  # A point this far behind the drawn surface is on it.


@dataclasses.dataclass(frozen=True)
class View:
  """How one frame sees the head.

  Attributes:
    turn: [3, 3] float64, the head's rotation.
    trunk: [3, 3] float64, the trunk's.
    depth: Distance from the camera to the head's axis.
    focal: Focal length, px of the supersampled frame.
    centre: [2] float64, where the optical axis meets that frame.
  """

  turn: np.ndarray
  trunk: np.ndarray
  depth: float
  focal: float
  centre: np.ndarray

  def pose(
    self, points: np.ndarray, follows: np.ndarray | float = 1.0
  ) -> np.ndarray:
    """Returns points [V, 3] in camera axes; `follows` as in `Head`."""
    return camera.pose(points, self.turn, self.trunk, follows, head.NECK_PIVOT)

  def project(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Projects posed points; returns px [V, 2] and depth [V]."""
    return camera.project(points, self.depth, self.focal, self.centre)


def view(settings: Settings, recording: Recording, frame: int) -> View:
  """Aims the camera at one frame's head, as a face tracker's crop would.

  Args:
    settings: What set it is of.
    recording: The track.
    frame: [0, T).

  Returns:
    Pose and camera.
  """
  paths = recording.motion
  side = settings.size_px * settings.supersample
  aimless = View(
    turn=camera.rotation(
      paths.yaw_rad[frame], paths.pitch_rad[frame], paths.roll_rad[frame]
    ),
    trunk=camera.rotation(paths.trunk_yaw_rad, 0.0, 0.0),
    depth=camera.distance(recording.fov_rad, settings.frame_width),
    focal=camera.focal_px(recording.fov_rad, side) * paths.zoom[frame],
    centre=np.zeros(2),
  )
  # The crop follows the face at rest: a tracker smooths the jaw's motion out.
  rest, _ = aimless.project(aimless.pose(recording.rest_landmarks))
  centre = camera.crop_centre_px(rest, paths.aim[frame], side)
  return dataclasses.replace(aimless, centre=centre)


def draw(
  settings: Settings, recording: Recording, skin: np.ndarray, frame: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  """Draws one frame.

  Args:
    settings: What set it is of.
    recording: The track.
    skin: [V, 3] float, this frame's skin from `head.animate`.
    frame: [0, T).

  Returns:
    The picture [H, W, 3] uint8, the landmarks [68, 2] float64 in px and
    which of them are seen, [68] bool.
  """
  model, side = recording.model, settings.size_px * settings.supersample
  sight, paths = view(settings, recording, frame), recording.motion
  posed = sight.pose(skin, model.follows)
  raster = rasterise.rasterise(
    *sight.project(posed), model.chart.faces, side, side
  )
  normal = shading.grid_normals(posed, *model.chart.shape)
  light = recording.light
  sunlit = shadows.cast(
    posed, normal, recording.casters, light.direction[frame], light.soft
  )
  # The trunk's mesh is too coarse for more than a hint of the chin's shadow.
  sunlit = 1 - (1 - sunlit) * (0.3 + 0.7 * model.follows).astype(np.float32)
  lit = shading.irradiance(normal, model.cavity, light, frame, sunlit)
  image = _backdrop(recording, side, frame)
  gloss = max(0.07 + 0.045 * recording.look["gloss"], 0.0)
  s, t = picture.draw_skin(image, raster, lit, recording.texture, gloss)
  units = np.stack([paths.right[frame], paths.left[frame]])
  parts = sight.pose(inner.place(model.chart, recording.bare, skin))
  parts = rasterise.rasterise(
    *sight.project(parts), inner.parts().faces, side, side
  )
  values = picture.inner_values(
    sight.turn, light, frame, shadows.of_parts(model.s, model.t, sunlit)
  )
  _draw_openings(
    recording, frame, image, raster, s, t, units, sight.turn, parts, values
  )
  nearest = np.full(side * side, np.inf)
  nearest[raster.pixel] = raster.depth
  _draw_before(recording, frame, sight, image, nearest, side)
  image = image.reshape(side, side, 3)
  if settings.supersample == 2:
    image = photo.halve(image)
  rng = np.random.default_rng([*recording.noise_seed, frame])
  xy, z = project_landmarks(sight, recording, skin, frame)
  stored = (xy + 0.5) / settings.supersample - 0.5
  seen = _visible(nearest, xy, z, side)
  return photo.expose(image, recording.sensor, rng), stored, seen


def project_landmarks(
  sight: View, recording: Recording, skin: np.ndarray, frame: int
) -> tuple[np.ndarray, np.ndarray]:
  """Finds the landmarks of one frame; needs no picture.

  Args:
    sight: How the frame sees the head.
    recording: The track.
    skin: [V, 3] float, this frame's skin.
    frame: [0, T).

  Returns:
    [68, 2] float64, px of the supersampled frame, and depths [68].
  """
  paths = recording.motion
  units = np.stack([paths.right[frame], paths.left[frame]])
  edges = actions.lid_edges(units)
  marks = landmarks.locate(recording.model.chart, skin, edges)
  return sight.project(sight.pose(marks))


def _backdrop(recording, side, frame):
  """Returns the part of the background behind this frame, [P, 3]."""
  x, y = (recording.motion.drift[frame] * side + side / 4).astype(int)
  return recording.backdrop[y : y + side, x : x + side].reshape(-1, 3)


def _draw_openings(
  recording, frame, image, raster, s, t, units, turn, parts, values
):
  """Paints eyes, lashes and the inside of the mouth, in place."""
  look, light = recording.look, recording.light
  edges = np.stack(actions.lid_edges(units), axis=-1)
  liner = float(np.clip(0.6 + 0.15 * look["eye_liner"], 0.3, 0.95))
  near, is_open, shade, below = picture.lids(s, t, edges, liner)
  pixel = raster.pixel[near]
  image[pixel] *= shade[:, None].astype(np.float32)
  half = light.direction[frame] - np.array([0.0, 0.0, 1.0])
  half /= np.sqrt((half * half).sum())
  glint = np.array([(turn[:, i] * half).sum() for i in range(3)])
  picture.draw_eyes(
    image,
    pixel[is_open],
    below[is_open],
    parts,
    values,
    inner.gaze_directions(recording.motion.gaze[frame]),
    glint.astype(np.float32),
    albedo.iris_colour(look),
    albedo.linear(np.array([0.67, 0.63, 0.60]) + 0.02 * look["sclera"]),
  )
  mouth = picture.mouth_opening(s, t)
  height = (t[mouth] - chart.MOUTH_T) / (2 * chart.SLIT) + 0.5
  picture.draw_mouth(
    image,
    raster.pixel[mouth],
    height,
    parts,
    values,
    inner.mouth_opening(units.mean(axis=0)),
    albedo.linear(np.array([0.86, 0.82, 0.74]) + 0.02 * look["teeth"]),
  )


def _draw_before(recording, frame, sight, image, nearest, side):
  """Paints glasses and what else is before the face, in place."""
  light = recording.light
  level = light.sky + 0.5 * light.sun
  worn = recording.worn
  if worn is not None:
    xy, z = sight.project(sight.pose(worn.points))
    glasses.paint(image, nearest, worn, xy, z, side, level)
  if recording.before is not None:
    rest = recording.rest_landmarks
    xy, _ = sight.project(sight.pose(rest))
    middle = (xy.min(axis=0) + xy.max(axis=0)) / 2
    width = np.ptp(rest[:, 0]) * sight.focal / sight.depth
    box = np.append(middle, width)
    occlusion.paint(image, nearest, recording.before, frame, box, level)


def _visible(nearest, xy, z, side):
  """Returns 1 for points in the frame with nothing before them."""
  column, row = np.rint(xy).astype(int).T
  inside = (column >= 0) & (column < side) & (row >= 0) & (row < side)
  at = np.where(inside, row * side + column, 0)
  return inside & (z <= nearest[at] + _DEPTH_SLACK)
