"""What ready linear probes say of faces, as columns of a table."""

from collections.abc import Mapping, Sequence

import numpy as np

from facerep_jax.files import table
from facerep_jax.inference import api, face_rows, ready_probes
from facerep_jax.inference.ready_probes import SIDES

_CLASS, _X, _Y = "probe_expression", "probe_x", "probe_y"
_DISTANCE = "probe_distance"
_ANGLES = {
  "probe_yaw_deg": "positive: nose to the picture's left",
  "probe_pitch_deg": "positive: nose down",
  "probe_roll_deg": "positive: top of the head to the right",
}


class ProbeColumns:
  """Columns of one model's ready linear probes.

  Attributes:
    width: How many numbers a row has.
  """

  def __init__(self, probes: ready_probes.Probes, model: api.Representation):
    self._probes, self._model = probes, model
    self._classes = [f"probe_p_{name}" for name in probes.classes]
    self._units = [f"probe_au{n}_{s}" for s in SIDES for n in probes.units]
    points = (_X, _Y)
    self._names = [*self._classes, *self._units, *_ANGLES]
    self._has_distance = ready_probes.DISTANCE in probes.fitted
    if self._has_distance:
      self._names.append(_DISTANCE)
    self.width = len(self._names) + len(points) * ready_probes.NUM_POINTS

  def columns(self) -> list[table.Column]:
    """Returns the columns."""
    column, points = table.Column, ready_probes.NUM_POINTS
    chance = "probability of {}, linear probe"
    unit = "action unit {}, 0 to 1, the person's {} side, linear probe"
    return [
      column(_CLASS, table.TEXT, "", "most probable expression, linear probe"),
      *(
        column(name, "float32", "", chance.format(what))
        for name, what in zip(self._classes, self._probes.classes)
      ),
      *(
        column(f"probe_au{n}_{side}", "float32", "", unit.format(n, side))
        for side in SIDES
        for n in self._probes.units
      ),
      *(
        column(name, "float32", "degree", f"{what}; linear probe")
        for name, what in _ANGLES.items()
      ),
      *(
        column(name, "float32", "", "from the probes' own faces, 1 for such")
        for name in self._names
        if name == _DISTANCE
      ),
      column(_X, "float32", "px", "landmarks in the picture, x", points),
      column(_Y, "float32", "px", "landmarks in the picture, y", points),
    ]

  def rows(
    self, faces: Sequence[face_rows.Face], features: Mapping[str, np.ndarray]
  ) -> np.ndarray:
    """Reads faces out.

    Args:
      faces: The faces.
      features: Theirs, [n, D] float by name.

    Returns:
      [n, width] float32; landmarks are NaN where the place of the face in its
      picture is unknown.
    """
    found, count = self._probes.outputs(features), len(faces)
    places = [self._place(face) for face in faces]
    points = ready_probes.to_pixels(found["landmarks_ndc"], np.array(places))
    parts = (
      found["expression"],
      found["action_units"].reshape(count, -1),
      found["pose_deg"],
      *([found["distance"][:, None]] if self._has_distance else ()),
      points[..., 0],
      points[..., 1],
    )
    return np.concatenate(parts, axis=1)

  def _place(self, face):
    """Returns left, top and side of the model's crop in the picture, px."""
    if face.origin_px is None:
      return (np.nan,) * 3
    x0, y0, scale = face.origin_px
    left, top, side = self._model.place(face.image.shape)
    return x0 + scale * left, y0 + scale * top, scale * side

  def block(self, rows: np.ndarray) -> table.Block:
    """Returns rows, [n, width] float32, by column."""
    block = dict(zip(self._names, rows.T))
    chosen = rows[:, : len(self._classes)].argmax(axis=1)
    block[_CLASS] = [self._probes.classes[k] for k in chosen]
    block[_X], block[_Y] = np.split(rows[:, len(self._names) :], 2, axis=1)
    return block
