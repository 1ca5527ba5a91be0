"""Synthetic face tracks with ground truth: the one entry point.

A track is a pure function of (settings, person, track): no state is shared
between tracks, so any number of workers draws the same bytes.

Labels of a frame (names and shapes in `schema.LABELS`):
  identity: the person's number.
  yaw_rad, pitch_rad, roll_rad: pose of the head against the camera's axes,
    R = Rz Ry Rx; `camera` says which way each turns.
  landmarks_px: the 68 iBUG points of the 3-D head, hidden ones included;
    the centre of the top left pixel is (0, 0).
  landmarks_visible: 1 where nothing of the head is in front of the point and
    it lies inside the frame.
  expression: 0 neutral, 1 happiness, 2 sadness, 3 surprise, 4 fear,
    5 disgust, 6 anger, 7 contempt; neutral while intensity is below
    `motion.EXPRESSION_FLOOR`.
  expression_intensity: strength of the track's expression, [0, 1].
  action_units: mean activation of the face's halves, `actions.UNITS`' order.
  light: unit direction from the face to the light, camera axes; ambient
    share.
"""

import dataclasses

import numpy as np

from facerep_jax import errors
from facerep_jax.data import schema
from facerep_jax.data.synthetic import (
  actions,
  albedo,
  background,
  camera,
  chart,
  head,
  inner,
  landmarks,
  motion,
  photo,
  picture,
  rasterise,
  shading,
  shape_modes,
)

VERSION = 1  # Raised whenever pictures or labels change.
_DEPTH_SLACK = 0.06  # A point this far behind the drawn surface is on it.


@dataclasses.dataclass(frozen=True)
class Settings:
  """All that the pictures depend on besides person and track.

  Attributes:
    seed: Of the whole set; other seeds are other people.
    num_people: How many people the set holds.
    tracks_per_person: Recordings of each.
    num_frames: T, frames of a track.
    size_px: Side of the square frames.
    supersample: 2 for anti-aliased edges, 1 for speed.
    texture_per_px: Texels of the head's texture per pixel of the frame's side.
    min_fov_deg: Narrowest field of view.
    max_fov_deg: Widest field of view.
    frame_width: What the frame spans at the face, units of 100 mm. A face is
      about 1.35 from brow to chin and 1.6 from ear to ear.
    min_quality: Lowest JPEG quality.
    max_quality: Highest JPEG quality.
    max_blur: Largest weight of a neighbouring pixel in the lens's blur.
    max_noise: Largest deviation of the noise, share of the range.
  """

  seed: int = 0
  num_people: int = 500
  tracks_per_person: int = 2
  num_frames: int = 16
  size_px: int = 96
  supersample: int = 2
  texture_per_px: float = 2.5
  min_fov_deg: float = 8.0
  max_fov_deg: float = 40.0
  frame_width: float = 3.0
  min_quality: int = 60
  max_quality: int = 95
  max_blur: float = 0.18
  max_noise: float = 0.025


@dataclasses.dataclass(frozen=True)
class Images:
  """A track before JPEG.

  Attributes:
    frames: [T, H, W, 3] uint8.
    labels: Arrays [T, ...] as in `schema.LABELS`.
    quality: JPEG quality of this recording.
  """

  frames: np.ndarray
  labels: dict[str, np.ndarray]
  quality: int


@dataclasses.dataclass(frozen=True)
class Recording:
  """Everything about a track that is fixed before it is drawn.

  Attributes:
    model: The head.
    still: [V, 3] float64, the person's resting skin, hair included.
    bare: [V, 3] float64, the same without hair.
    look: Named albedo numbers.
    texture: [side, side, 3] float32.
    motion: Paths over the track.
    light: Light over the track.
    sensor: The camera's sensor.
    fov_rad: Field of view.
    backdrop: [S, S, 3] float32, larger than the frame.
    noise_seed: Seeds of the frames' noise.
  """

  model: head.Head
  still: np.ndarray
  bare: np.ndarray
  look: dict[str, float]
  texture: np.ndarray
  motion: motion.Motion
  light: shading.Light
  sensor: photo.Sensor
  fov_rad: float
  backdrop: np.ndarray
  noise_seed: tuple[int, ...]


def make_track(settings: Settings, person: int, track: int) -> schema.Track:
  """Draws and encodes a track.

  Args:
    settings: What set it is of.
    person: [0, num_people).
    track: [0, tracks_per_person).

  Returns:
    The track with JPEG frames and all labels but those of a detector; the
    same bytes for the same arguments in any process.

  Raises:
    InputError: There is no such person or track.
  """
  images = draw_track(settings, person, track)
  return schema.Track(
    person=f"synthetic{person:05d}",
    video="v0",
    track=f"{track:05d}",
    chunk=0,
    frames=[photo.encode_jpeg(x, images.quality) for x in images.frames],
    frame_index=np.arange(len(images.frames), dtype=np.int64),
    labels=images.labels,
  )


def draw_track(settings: Settings, person: int, track: int) -> Images:
  """Draws a track.

  Args:
    settings: What set it is of.
    person: [0, num_people).
    track: [0, tracks_per_person).

  Returns:
    Raw frames and labels.

  Raises:
    InputError: There is no such person or track.
  """
  recording = set_up(settings, person, track)
  paths = recording.motion
  skins = head.animate(
    recording.model, recording.still, paths.left, paths.right
  )
  frames, points, visible = [], [], []
  for frame, skin in enumerate(skins):
    image, xy, seen = _draw_frame(settings, recording, skin, frame)
    frames.append(image)
    points.append(xy)
    visible.append(seen)
  labels = {
    "identity": np.full(len(frames), person),
    "yaw_rad": paths.yaw_rad,
    "pitch_rad": paths.pitch_rad,
    "roll_rad": paths.roll_rad,
    "landmarks_px": np.stack(points),
    "landmarks_visible": np.stack(visible),
    "expression": paths.expression,
    "expression_intensity": paths.intensity,
    "action_units": (paths.left + paths.right) / 2,
    "light": recording.light.label(),
  }
  labels = {
    name: np.asarray(value, schema.LABELS[name][0])
    for name, value in labels.items()
  }
  return Images(np.stack(frames), labels, recording.sensor.quality)


def set_up(settings: Settings, person: int, track: int) -> Recording:
  """Draws all that a track is made from; arguments as for `draw_track`."""
  for name, value, limit in (
    ("person", person, settings.num_people),
    ("track", track, settings.tracks_per_person),
  ):
    if not 0 <= value < limit:
      raise errors.InputError(
        f"synthetic {name} {value}: expected 0 to {limit - 1}; raise "
        f"{'num_people' if name == 'person' else 'tracks_per_person'}."
      )
  who = np.random.default_rng([VERSION, settings.seed, person])
  what = np.random.default_rng([VERSION, settings.seed, person, 1 + track])
  shape = motion.bounded_normal(who, len(shape_modes.NAMES))
  look = albedo.look(motion.bounded_normal(who, len(albedo.NAMES)))
  model = head.built_in()
  bare = head.neutral(model, shape)
  paths = motion.draw(what, settings.num_frames)
  light = shading.draw(what, settings.num_frames)
  side = settings.size_px * settings.supersample
  texture = albedo.texture(
    look,
    what.random(3) ** 1.5,
    who,
    int(settings.texture_per_px * settings.size_px),
  )
  fov_deg = what.uniform(settings.min_fov_deg, settings.max_fov_deg)
  sensor = photo.Sensor(
    blur=settings.max_blur * float(what.random()),
    gain=what.uniform(0.8, 1.15) * (1 + 0.03 * motion.bounded_normal(what, 3)),
    gamma=float(what.uniform(0.42, 0.52)),
    noise=settings.max_noise * float(what.random()) ** 2,
    quality=int(what.integers(settings.min_quality, settings.max_quality + 1)),
  )
  return Recording(
    model=model,
    still=bare + albedo.hair_offset(look, model.s, model.t, bare),
    bare=bare,
    look=look,
    texture=texture,
    motion=paths,
    light=light,
    sensor=sensor,
    fov_rad=float(np.deg2rad(fov_deg)),
    backdrop=background.draw(what, int(1.5 * side)),
    noise_seed=(VERSION, settings.seed, person, 1 + track),
  )


def landmarks_3d(recording: Recording, skin: np.ndarray, units: np.ndarray):
  """Returns the 68 points of one frame, [68, 3] float64, head coordinates.

  Args:
    recording: The track.
    skin: [V, 3] float, the frame's skin.
    units: [2, 20] float, activations of the right and the left half.
  """
  s, t = landmarks.fixed_points()
  upper, lower = actions.lid_edges(units)
  s[36:48], t[36:48] = landmarks.lid_points(
    upper[0], lower[0], upper[1], lower[1]
  )
  vertices, weights = recording.model.chart.weights(s, t)
  return (skin[vertices] * weights[..., None]).sum(axis=1)


def _draw_frame(settings, recording, skin, frame):
  """Returns the picture, the landmarks and which of them are seen."""
  paths, model = recording.motion, recording.model
  side = settings.size_px * settings.supersample
  turn = camera.rotation(
    paths.yaw_rad[frame], paths.pitch_rad[frame], paths.roll_rad[frame]
  )
  trunk = camera.rotation(paths.trunk_yaw_rad, 0.0, 0.0)

  def posed(points, follows):
    return camera.pose(points, turn, trunk, follows, head.NECK_PIVOT)

  units = np.stack([paths.right[frame], paths.left[frame]])
  marks = posed(landmarks_3d(recording, skin, units), np.ones(68))
  rest = posed(
    landmarks_3d(recording, recording.bare, np.zeros((2, 20))), np.ones(68)
  )
  depth = camera.distance(recording.fov_rad, settings.frame_width)
  focal = camera.focal_px(recording.fov_rad, side) * paths.zoom[frame]
  flat, _ = camera.project(rest, depth, focal, np.zeros(2))
  centre = camera.crop_centre_px(flat, paths.aim[frame], side)

  skin_posed = posed(skin, model.follows)
  xy, z = camera.project(skin_posed, depth, focal, centre)
  raster = rasterise.rasterise(xy, z, model.chart.faces, side, side)
  normal = shading.grid_normals(skin_posed, *model.chart.shape)
  lit = shading.irradiance(normal, model.cavity, recording.light, frame)
  image = _backdrop(recording, side, frame)
  s, t = picture.draw_skin(
    image,
    raster,
    lit,
    recording.texture,
    max(0.05 + 0.03 * recording.look["gloss"], 0.0),
  )
  parts = posed(
    inner.place(model.chart, recording.bare, skin),
    np.ones(len(inner.parts().local)),
  )
  part_xy, part_z = camera.project(parts, depth, focal, centre)
  _draw_openings(
    recording,
    frame,
    image,
    raster,
    s,
    t,
    units,
    turn,
    rasterise.rasterise(part_xy, part_z, inner.parts().faces, side, side),
  )
  image = image.reshape(side, side, 3)
  if settings.supersample == 2:
    image = photo.halve(image)
  rng = np.random.default_rng([*recording.noise_seed, frame])
  xy, z = camera.project(marks, depth, focal, centre)
  seen = _visible(raster, xy, z, side)
  stored = (xy + 0.5) / settings.supersample - 0.5
  return photo.expose(image, recording.sensor, rng), stored, seen


def _backdrop(recording, side, frame):
  """Returns the part of the background behind this frame, [P, 3]."""
  x, y = (recording.motion.drift[frame] * side + side / 4).astype(int)
  return recording.backdrop[y : y + side, x : x + side].reshape(-1, 3)


def _draw_openings(recording, frame, image, raster, s, t, units, turn, parts):
  """Paints eyes, lashes and the inside of the mouth, in place."""
  look, light = recording.look, recording.light
  edges = np.stack(actions.lid_edges(units), axis=-1)
  liner = float(np.clip(0.6 + 0.15 * look["eye_liner"], 0.3, 0.95))
  near, is_open, shade, below = picture.lids(s, t, edges, liner)
  pixel = raster.pixel[near]
  image[pixel] *= shade[:, None].astype(np.float32)
  values = picture.inner_values(turn, light, frame)
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
    albedo.linear(np.array([0.90, 0.87, 0.84]) + 0.02 * look["sclera"]),
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
    albedo.linear(np.array([0.90, 0.87, 0.80]) + 0.02 * look["teeth"]),
  )


def _visible(raster, xy, z, side):
  """Returns 1 for points in the frame with nothing of the head before them."""
  column, row = np.rint(xy).astype(int).T
  inside = (column >= 0) & (column < side) & (row >= 0) & (row < side)
  nearest = np.full(side * side, np.inf)
  nearest[raster.pixel] = raster.depth
  at = np.where(inside, row * side + column, 0)
  return inside & (z <= nearest[at] + _DEPTH_SLACK)
