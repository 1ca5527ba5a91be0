"""Settings of the 3D-aware autoencoder: `config.autoencoder.model`."""

import dataclasses

from facerep_jax import errors, setting_ranges
from facerep_jax.faces import rendering
from facerep_jax.models import unsup3d
from facerep_jax.ops import camera, render
from facerep_jax.systems import perceptual

NETWORKS = ("depth", "albedo", "light", "view", "confidence")
JOINT = "light_view"  # In place of both, see `Settings.light_and_view`.
SIZES = (64, 128, 256)
_FORMATION = rendering.Formation._field_defaults
_KEY = "config.autoencoder.model"  # In messages.


@dataclasses.dataclass(frozen=True)
class Weights:
  """Weights of the terms of the loss.

  Attributes:
    mirror: Of the mirrored copy's photometric and perceptual terms.
    perceptual: Of the perceptual terms; without one, see `Settings`.
    laplacian: Of the errors of the bands of a Laplacian pyramid.
    albedo_consistency: Of what differs in albedo between the frames of a track.
    shape_consistency: Of what differs in coarse shape between them.
    depth_smoothness: Of the bends of the depth map.
    view_search: Of how far yaws are from those found by trial.
  """

  mirror: float = 0.5
  perceptual: float = 1.0
  laplacian: float = 0.0
  albedo_consistency: float = 0.0
  shape_consistency: float = 0.0
  depth_smoothness: float = 0.0
  view_search: float = 0.0


@dataclasses.dataclass(frozen=True)
class Settings:
  """Settings; the defaults are those of the published code.

  Attributes:
    size_px: S, side of the images: 64, 128 or 256.
    width: Channels of the depth and albedo networks' outer layers.
    num_groups: In which the outermost layers of the networks with maps are
      normalised, see `models.unsup3d.MapNet`; divides both widths.
    code_dim: D, length of their codes.
    decoder: Of these networks: "transposed", as published, or "resize", which
      draws the depth at half the side, see `models.resize_decoder`.
    light_and_view: Two "separate" networks, or a "joint" one.
    vector_width: Channels of the first layer of the light and view networks.
    hidden_dim: Length of their last hidden vector.
    confidence_width: As `width`, of the confidence network.
    confidence_code_dim: As `code_dim`.
    use_confidence: Whether there is one; without, all errors count alike.
    num_frames: T, frames of a sample, all of one track.
    light_per: "image", or "track": its first frame's light is that of all.
    mirror: Whether "both" a face and its mirror are drawn for each picture, as
      published, or at "random" one of them: the mirror with the probability
      weights.mirror / (1 + weights.mirror), so that the loss is the published
      one on average, times 1 / (1 + weights.mirror).
    cross_frame: Whose shape and texture explain a frame in the loss: its "own";
      those of the "next" frame of its track; or those of "one" frame that is
      drawn for all. With all but the first only viewpoint and light can tell
      the frames of a track apart.
    first_share: With "one", how often that is the first frame of the sample;
      otherwise it is any of the others. See `config.data.frontal_first`.
    view_tries: Turns that are tried for the last frame of each sample, see
      `view_search`; needs `weights.view_search`.
    image_formation: "rasterise", "warp" or "flat", see `faces.rendering`.
    pixel_grid: "published" or "consistent", see `ops.render`.
    normal_border: "replicate" or "forward", see `ops.normals`.
    softness_edge_px: Width over which edges of the mesh are blurred; 0 (with
      `softness_depth`) draws hard.
    softness_depth: Depth over which surfaces blend, scene units.
    render_capacity: Capacity factor of the renderer for soft pictures, see
      `ops.render`. Rough shapes, as they are before they are learned, need more
      than a face.
    depth_gain: Factor of the depth network's output; small ones begin with a
      smooth shape instead of noise.
    depth_prior: Height of the dome that is added to it, before it is squashed
      to the range of depths: the shape with which training begins.
    depth_prior_upright: Share of that height at the top and the bottom; 0 makes
      the dome an upright cylinder.
    max_angle_deg: Greatest turn of the head about each axis.
    max_shift: Greatest shift along x and y, scene units.
    perceptual: Features of the perceptual loss, one of `perceptual.KINDS`.
    vgg16_path: File of VGG16's weights, for "vgg16".
    weights: Of the terms of the loss.
    frozen: Networks that do not learn, such as ("light",).
    dtype: Compute type of the networks, "float32" or "bfloat16".

  Raises:
    InputError: A setting is out of range.
  """

  size_px: int = 64
  width: int = 64
  num_groups: int = unsup3d.NUM_GROUPS
  code_dim: int = 256
  decoder: str = "transposed"
  light_and_view: str = "separate"
  vector_width: int = 32
  hidden_dim: int = 256
  confidence_width: int = 64
  confidence_code_dim: int = 128
  use_confidence: bool = True
  num_frames: int = 1
  light_per: str = "image"
  mirror: str = "both"
  cross_frame: str = "own"
  first_share: float = 0.5
  view_tries: int = 6
  image_formation: str = _FORMATION["kind"]
  pixel_grid: str = _FORMATION["pixel_grid"]
  normal_border: str = _FORMATION["normal_border"]
  softness_edge_px: float = 0.0
  softness_depth: float = 0.0
  render_capacity: float = 4.0
  depth_gain: float = 1.0
  depth_prior: float = 0.0
  depth_prior_upright: float = 1.0
  max_angle_deg: float = _FORMATION["max_angle_deg"]
  max_shift: float = _FORMATION["max_shift"]
  perceptual: str = "vgg16"
  vgg16_path: str = ""
  weights: Weights = Weights()
  frozen: tuple[str, ...] = ()
  dtype: str = "float32"

  def __post_init__(self):
    _check_choices(self)
    _check_ranges(self)
    _check_frozen(self)

  @property
  def networks(self) -> tuple[str, ...]:
    """Names of the networks there are."""
    names = NETWORKS if self.use_confidence else NETWORKS[:-1]
    if self.light_and_view == "separate":
      return names
    return tuple(x for x in names if x not in ("light", "view")) + (JOINT,)

  @property
  def formation(self) -> rendering.Formation:
    """How pictures are made."""
    return rendering.Formation(
      camera=camera.Camera(self.size_px),
      kind=self.image_formation,
      pixel_grid=self.pixel_grid,
      normal_border=self.normal_border,
      softness=render.Softness(self.softness_edge_px, self.softness_depth),
      capacity_factor=self.render_capacity,
      max_angle_deg=self.max_angle_deg,
      max_shift=self.max_shift,
    )


def _check_choices(settings):
  for name, allowed in (
    ("size_px", SIZES),
    ("light_per", ("image", "track")),
    ("decoder", ("transposed", "resize")),
    ("light_and_view", ("separate", "joint")),
    ("mirror", ("both", "random")),
    ("cross_frame", ("own", "next", "one")),
    ("image_formation", rendering.FORMATIONS),
    ("pixel_grid", render.PIXEL_GRIDS),
    ("normal_border", ("replicate", "forward")),
    ("perceptual", perceptual.KINDS),
  ):
    value = getattr(settings, name)
    if value not in allowed:
      raise errors.InputError(
        f"{_KEY}.{name}: expected one of "
        f"{', '.join(map(str, allowed))}, got {value!r}."
      )


def _check_ranges(settings):
  weights = settings.weights
  numbers = vars(settings) | {
    f"weights.{k}": v for k, v in vars(weights).items()
  }
  setting_ranges.check(
    numbers,
    setting_ranges.MODELS["autoencoder"],
    lambda key: f"{_KEY}.{key}",
  )
  for name in ("width", "confidence_width"):
    value = getattr(settings, name)
    if value % settings.num_groups:
      raise errors.InputError(
        f"{_KEY}.{name}: expected a multiple of {settings.num_groups}, "
        f"got {value}."
      )
  if (settings.softness_edge_px > 0) != (settings.softness_depth > 0):
    raise errors.InputError(
      f"{_KEY}.softness_edge_px={settings.softness_edge_px}, "
      f"softness_depth={settings.softness_depth}: expected both 0 (hard) or "
      "both more."
    )
  if settings.image_formation == "flat" and (
    weights.mirror or settings.cross_frame != "own"
  ):
    raise errors.InputError(
      f"{_KEY}.image_formation='flat' knows neither mirrored faces nor "
      "viewpoints: set weights.mirror=0 and cross_frame='own'."
    )
  if settings.num_frames == 1 and settings.cross_frame != "own":
    raise errors.InputError(
      f"{_KEY}.cross_frame={settings.cross_frame!r} takes the face of "
      f"other frames, but {_KEY}.num_frames is 1. Set it to 2 or more."
    )
  if settings.num_frames == 1 and (
    weights.albedo_consistency or weights.shape_consistency
  ):
    raise errors.InputError(
      f"{_KEY}.weights: albedo_consistency="
      f"{weights.albedo_consistency}, shape_consistency="
      f"{weights.shape_consistency} compare the frames of a track, but "
      f"{_KEY}.num_frames is 1. Set it to 2 or more."
    )


def _check_frozen(settings):
  frozen, networks = set(settings.frozen), set(settings.networks)
  if not frozen <= networks or frozen == networks:
    raise errors.InputError(
      f"{_KEY}.frozen={tuple(settings.frozen)}: expected some, not all, "
      f"of {', '.join(settings.networks)}."
    )
