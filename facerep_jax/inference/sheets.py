"""What the command `render` draws of photos: sheets and films."""

from collections.abc import Sequence

import numpy as np

from facerep_jax.faces import editing, panels, rendering
from facerep_jax.inference import api

# Sheets by what they show; transfer is of another form than the others.
SHEETS = ("views", "frontal", "relight", "neutral", "transfer", "maps")
FILMS = ("views", "relight")
WANT_NEUTRAL = ("neutral", "transfer")
_LEAST_PX = 128  # Of pictures on sheets.
FILM_PX = 256
FILM_FRAMES = 24
_FILM_YAW_DEG = 45
_YAWS_DEG = (-60, -40, -20, 0, 20, 40, 60)
_PITCHES_DEG = (-30, 30)
_LIGHT_DEG = 40
_LIGHTS = {
  "from the front": (0, 0),
  "from the left": (-_LIGHT_DEG, 0),
  "from the right": (_LIGHT_DEG, 0),
  "from above": (0, _LIGHT_DEG),
  "from below": (0, -_LIGHT_DEG),
}


class Page:
  """Some photos, and what a model makes of them.

  Attributes:
    model: The model.
    names: Of the photos.
    codes: As the model explains them.
    face: What their codes stand for.
  """

  def __init__(
    self,
    model: api.Representation,
    names: Sequence[str],
    images: Sequence[np.ndarray],
    batch_size: int,
  ):
    self.model = model
    self.names = list(names)
    self.batch_size = batch_size
    self.codes = model.encode(images, batch_size=batch_size)
    self.face = model.decode(self.codes, batch_size=batch_size)
    # Maps are enlarged by whole numbers.
    self._enlarge = max(1, round(_LEAST_PX / model.size_px))
    self._size_px = self._enlarge * model.size_px
    cut = [model.crop(image, size_px=self._size_px) for image in images]
    self._inputs = np.stack([_as_float(image) for image in cut])

  def sheet(self, kind: str) -> dict[str, np.ndarray]:
    """Draws a sheet but for the transfer of expressions.

    Args:
      kind: One of `SHEETS`, but "transfer".

    Returns:
      Caption to [N, P, P, 3] float32, [0, 1].
    """
    return {"input": self._inputs} | getattr(self, f"_{kind}")()

  def transfer(self, most: int) -> tuple[dict[str, np.ndarray], list[str]]:
    """Draws the first faces of the page with each other's expressions.

    Args:
      most: K, how many faces at most.

    Returns:
      Caption to [K + 1, P, P, 3] float32, [0, 1]: the inputs whose expressions
      these are, and below them the identities; and the names of the rows.
    """
    count = min(most, len(self.names))
    who, whose = (x.ravel() for x in np.indices((count, count)))
    identity, expression = (
      {name: values[rows] for name, values in self.codes.items()}
      for rows in (who, whose)
    )
    drawn = self._draw(
      self.model.decode(
        editing.transferred(identity, expression), batch_size=self.batch_size
      )
    )
    drawn = drawn.reshape(count, count, *drawn.shape[1:])
    inputs = self._inputs[:count]
    columns = {"identity": np.concatenate([np.ones_like(inputs[:1]), inputs])}
    for i in range(count):
      columns[f"expression {i + 1}"] = np.concatenate(
        [inputs[i : i + 1], drawn[:, i]]
      )
    names = [f"{i + 1}: {name}" for i, name in enumerate(self.names[:count])]
    return columns, ["whose expression", *names]

  def film(self, kind: str, row: int) -> np.ndarray:
    """Draws a face as it turns, or as the light goes round it.

    Args:
      kind: "views" or "relight".
      row: Which face.

    Returns:
      [F, P, P, 3] float32, [0, 1].
    """
    angles = np.linspace(0, 2 * np.pi, FILM_FRAMES, endpoint=False)
    face = rendering.Face(
      *(np.repeat(x[row : row + 1], FILM_FRAMES, axis=0) for x in self.face)
    )
    if kind == "views":
      yaws = _FILM_YAW_DEG * np.sin(angles)
      views = [self.model.view_vector(yaw) for yaw in yaws]
      face = face._replace(view=np.stack(views))
    else:
      around = _LIGHT_DEG * np.stack([np.cos(angles), np.sin(angles)], axis=1)
      face = face._replace(light=np.stack([_light(*x) for x in around]))
    return self.model.render(face, size_px=FILM_PX, batch_size=FILM_FRAMES)

  def maps(self) -> dict[str, np.ndarray]:
    """Draws what `Representation.draw_maps` does."""
    return self.model.draw_maps(self.codes, batch_size=self.batch_size)

  def _draw(self, face, **changes):
    """Draws faces, some of whose parts are the same for all."""
    count = len(face.view)
    changes = {k: np.tile(v, (count, 1)) for k, v in changes.items()}
    return self.model.render(
      face._replace(**changes),
      size_px=self._size_px,
      batch_size=self.batch_size,
    )

  def _views(self):
    columns = {"rebuilt": self._draw(self.face)}
    angles = {f"yaw {yaw:+d}": (yaw, 0) for yaw in _YAWS_DEG}
    angles |= {f"pitch {pitch:+d}": (0, pitch) for pitch in _PITCHES_DEG}
    for caption, (yaw, pitch) in angles.items():
      view = self.model.view_vector(yaw, pitch)
      columns[caption] = self._draw(self.face, view=view)
    return columns

  def _frontal(self):
    front = self.model.view_vector(0)
    return {
      "rebuilt": self._draw(self.face),
      "frontal": self._draw(self.face, view=front),
      "in even light": self._draw(self.face, view=front, light=_light(0, 0)),
    }

  def _relight(self):
    return {"rebuilt": self._draw(self.face)} | {
      caption: self._draw(self.face, light=_light(*angles))
      for caption, angles in _LIGHTS.items()
    }

  def _neutral(self):
    front = self.model.view_vector(0)
    codes = editing.neutral(self.codes)
    neutral = self.model.decode(codes, batch_size=self.batch_size)
    return {
      "rebuilt": self._draw(self.face),
      "neutral": self._draw(neutral),
      "frontal": self._draw(self.face, view=front),
      "neutral frontal": self._draw(neutral, view=front),
    }

  def _maps(self):
    maps = self.maps()
    columns = {
      "albedo": maps["albedo"],
      "shading": maps["shading"],
      "depth": np.asarray(panels.depth_to_grey(maps["canonical_depth"])),
      "normals": panels.normals_to_rgb(maps["normal"]),
      "canonical": maps["canonical"],
    }
    return {k: _enlarged(v, self._enlarge) for k, v in columns.items()}


def _light(right_deg, above_deg):
  return editing.light_vector(right_deg=right_deg, above_deg=above_deg)


def _enlarged(pictures, times):
  return pictures.repeat(times, axis=1).repeat(times, axis=2)


def _as_float(image):
  return image / np.float32(255) if image.dtype == np.uint8 else image
