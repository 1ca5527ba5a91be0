"""What a track is made from: settings, a person, one recording of them."""

import dataclasses

import numpy as np

from facerep_jax import errors
from facerep_jax.synthetic import (
  actions,
  albedo,
  background,
  changes,
  glasses,
  hair,
  head,
  heads,
  landmarks,
  motion,
  occlusion,
  photo,
  shading,
)

_AS_DRAWN = changes.Change()


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
      about 1.25 from brow to chin and 1.6 from ear to ear.
    min_quality: Lowest JPEG quality.
    max_quality: Highest JPEG quality.
    max_blur: Largest weight of a neighbouring pixel in the lens's blur.
    max_noise: Largest deviation of the noise, share of the range.
    pose_scale: Factor of the heads' yaw, pitch and roll.
    expressions: How many a track shows; 0: one or two.
    heads: Whose: "", "ict", "mixed" or a path, as in module `heads`.
    restyle: Draw hair style and glasses anew for each recording of a person.
    maps: Make depth and mask, too.
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
  frame_width: float = 2.64
  min_quality: int = 22
  max_quality: int = 95
  max_blur: float = 0.18
  max_noise: float = 0.02
  pose_scale: float = 1.0
  expressions: int = 0
  heads: str = ""
  restyle: bool = False
  maps: bool = False


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
    rest_landmarks: [68, 3] float64, of the bare skin.
    backdrop: [S, S, 3] float32, larger than the frame.
    casters: [F, 3] int32, the faces of head and neck, which cast shadows.
    noise_seed: Seeds of the frames' noise.
    worn: Glasses, if any.
    before: What hides a part of the face, if anything.
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
  rest_landmarks: np.ndarray
  backdrop: np.ndarray
  casters: np.ndarray
  noise_seed: tuple[int, ...]
  worn: glasses.Glasses | None = None
  before: occlusion.Occluder | None = None


def set_up(
  settings: Settings,
  person: int,
  track: int,
  change: changes.Change = _AS_DRAWN,
) -> Recording:
  """Draws all that a track is made from; arguments as for `draw_track`."""
  _check(settings, person, track)
  who = np.random.default_rng([settings.seed, person])
  what = np.random.default_rng([settings.seed, person, 1 + track])
  # Numbers of its own, so that nothing else changes with the style.
  style = np.random.default_rng([settings.seed, person, 0, 2, 1 + track])
  model = heads.model(settings.heads, settings.seed, person)
  shape, look = _traits(settings, person, model, who, style, change)
  owner = style if settings.restyle else who  # Draws the glasses.
  bare = head.neutral(model, shape)
  paths = motion.draw(
    what, settings.num_frames, settings.pose_scale, settings.expressions
  )
  light = shading.draw(what, settings.num_frames)
  side = settings.size_px * settings.supersample
  cover = hair.draw_cover(what, change.cover)
  texture = albedo.texture(
    look,
    cover,
    _clothes(what),
    what.uniform(1.28, 1.5),
    who,
    int(settings.texture_per_px * settings.size_px),
  )
  fov_deg = what.uniform(settings.min_fov_deg, settings.max_fov_deg)
  luma = (changes.metered_skin(change, look) * [0.3, 0.59, 0.11]).sum()
  sensor = photo.draw(
    what,
    float(luma) * shading.face_level(light),
    settings.max_blur,
    settings.max_noise,
    (settings.min_quality, settings.max_quality),
  )
  lids = actions.lid_edges(np.zeros((2, 20)))
  rest_landmarks = landmarks.locate(model.chart, bare, lids)
  return Recording(
    model=model,
    still=bare + hair.offset(look, cover, model.s, model.t, bare),
    bare=bare,
    look=look,
    texture=texture,
    motion=paths,
    light=light,
    sensor=sensor,
    fov_rad=float(np.deg2rad(fov_deg)),
    rest_landmarks=rest_landmarks,
    backdrop=background.draw(what, int(1.5 * side)),
    casters=_casters(model),
    noise_seed=(settings.seed, person, 1 + track),
    worn=_glasses(
      owner, what, rest_landmarks, settings.frame_width / side, change
    ),
    before=occlusion.draw(what, albedo.skin_colour(look), settings.num_frames),
  )


def _check(settings, person, track):
  for name, value, limit in (
    ("person", person, settings.num_people),
    ("track", track, settings.tracks_per_person),
  ):
    if not 0 <= value < limit:
      raise errors.InputError(
        f"synthetic {name} {value}: expected 0 to {limit - 1}; raise "
        f"{'num_people' if name == 'person' else 'tracks_per_person'}."
      )


def _traits(settings, person, model, who, style, change):
  """Draws the numbers of a head's shape, and those of its colours by name."""
  shape = motion.bounded_normal(who, len(model.shape_basis))
  look = albedo.look(motion.bounded_normal(who, len(albedo.NAMES)))
  if settings.restyle:
    look |= hair.draw_style(style)
  is_built_in = heads.is_built_in(settings.heads, settings.seed, person)
  shape = changes.of_shape(change, shape, is_built_in)
  return shape, changes.of_look(change, look)


def _casters(model):
  faces = model.chart.faces
  return faces[(model.follows[faces] > 0.5).all(axis=1)]


def _glasses(who, what, rest_landmarks, px, change):
  """Draws the glasses of one person in four; at times they are off."""
  is_dark = changes.are_lenses_dark(change)
  pair = glasses.draw(who, rest_landmarks, px, is_dark)
  wears, on = who.random(), what.random()
  is_on = changes.wears_glasses(change, wears < 0.27 and on < 0.9)
  return pair if is_on else None


def _clothes(rng):
  """Draws a colour, mostly dull and dark; linear RGB."""
  colour = rng.random(3) ** 2
  grey = rng.random() ** 2
  return grey + rng.uniform(0.1, 0.6) * (colour - grey)
