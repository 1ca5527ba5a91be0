"""Reads ICT-FaceKit's data, from upstream's OBJ files or from one npz.

The folder is upstream's FaceXModel: generic_neutral_mesh.obj, identity000.obj
and so on, and one OBJ file an expression shape, such as jawOpen.obj; reading
it takes ten seconds. The npz, a fraction of that, holds neutral [V, 3],
identity and expression [K, V, 3] (differences to the neutral mesh),
expression_names [K], and faces [F, 4] from 0 (4th -1: a triangle). Both are in
cm, y up, z out of the face.
"""

import dataclasses
import hashlib
import os
import zipfile

import numpy as np

from facerep_jax import errors

_NEUTRAL = "generic_neutral_mesh"
_ARRAYS = ("neutral", "identity", "expression", "expression_names", "faces")


@dataclasses.dataclass(frozen=True)
class Data:
  """ICT-FaceKit's meshes.

  Attributes:
    neutral: [V, 3] float32, cm.
    identity: [K, V, 3] float32, displacement at one deviation.
    expression: By name, [V, 3] float32, displacement at full strength.
    triangles: [F, 3] int64.
  """

  neutral: np.ndarray
  identity: np.ndarray
  expression: dict[str, np.ndarray]
  triangles: np.ndarray


def fingerprint(path: str) -> str:
  """Names the data at a path by content; of a folder, by names and sizes.

  Raises:
    InputError: There is nothing at that path.
  """
  digest = hashlib.sha256()
  if os.path.isdir(path):
    for name in _meshes(path):
      size = os.path.getsize(os.path.join(path, name))
      digest.update(f"{name} {size}\n".encode())
  else:
    try:
      with open(path, "rb") as file:
        while block := file.read(2**20):
          digest.update(block)
    except OSError as error:
      raise errors.InputError(
        f"{path}: cannot be read ({error.strerror}); expected ICT-FaceKit's "
        "folder FaceXModel, or an npz made from it. Packaged heads need no "
        "path: they are called ict, and mixed with the built-in ones."
      ) from error
  return digest.hexdigest()[:16]


def read(path: str) -> Data:
  """Reads the meshes.

  Args:
    path: Folder of OBJ files, or npz file.

  Returns:
    All shapes.

  Raises:
    InputError: Something is missing or does not fit.
  """
  fingerprint(path)  # Says what is wrong with the path.
  return _read_folder(path) if os.path.isdir(path) else _read_npz(path)


def _meshes(path):
  names = sorted(x for x in os.listdir(path) if x.endswith(".obj"))
  if _NEUTRAL + ".obj" not in names:
    raise errors.InputError(
      f"{path}: holds no {_NEUTRAL}.obj; expected ICT-FaceKit's folder "
      "FaceXModel, or an npz made from it."
    )
  return names


def _read_npz(path):
  try:
    with np.load(path, allow_pickle=False) as file:
      missing = [name for name in _ARRAYS if name not in file.files]
      if missing:
        raise errors.InputError(
          f"{path}: lacks {', '.join(missing)}; expected the arrays "
          f"{', '.join(_ARRAYS)}."
        )
      arrays = {name: file[name] for name in _ARRAYS}
  except (ValueError, zipfile.BadZipFile) as error:
    raise errors.InputError(f"{path}: not an npz file ({error}).") from error
  names = [str(x) for x in arrays["expression_names"]]
  neutral = arrays["neutral"].astype(np.float32)
  for name, want in (
    ("neutral", (len(neutral), 3)),
    ("identity", (len(arrays["identity"]), len(neutral), 3)),
    ("expression", (len(names), len(neutral), 3)),
    ("faces", (len(arrays["faces"]), 4)),
  ):
    if arrays[name].shape != want:
      raise errors.InputError(
        f"{path}: {name} has shape {arrays[name].shape}, expected {want}."
      )
  shapes = arrays["expression"].astype(np.float32)
  return Data(
    neutral,
    arrays["identity"].astype(np.float32),
    dict(zip(names, shapes)),
    _triangles(arrays["faces"].astype(np.int64)),
  )


def _triangles(faces):
  """Cuts faces of three or four corners, [F, 4], into triangles."""
  second = faces[:, [0, 2, 3]][faces[:, 3] >= 0]
  return np.concatenate([faces[:, :3], second])


def _read_folder(path):
  names = _meshes(path)
  base = os.path.join(path, _NEUTRAL + ".obj")
  neutral, faces = _vertices(base), _faces(base)
  identity, expression = [], {}
  for name in names:
    title = name.removesuffix(".obj")
    if title == _NEUTRAL:
      continue
    file = os.path.join(path, name)
    vertices = _vertices(file)
    if vertices.shape != neutral.shape:
      raise errors.InputError(
        f"{file}: has {len(vertices)} vertices, but {_NEUTRAL}.obj "
        f"{len(neutral)}."
      )
    if title.startswith("identity"):
      identity.append(vertices - neutral)
    else:
      expression[title] = vertices - neutral
  if not identity:
    raise errors.InputError(f"{path}: holds no identity000.obj and so on.")
  return Data(neutral, np.stack(identity), expression, _triangles(faces))


def _lines(path, kind):
  with open(path, "rb") as file:
    return [x.split()[1:] for x in file if x.startswith(kind)]


def _vertices(path):
  """Returns the vertices of an OBJ file, [V, 3] float32."""
  rows = _lines(path, b"v ")
  try:
    out = np.array([row[:3] for row in rows], np.float64)
  except ValueError as error:
    raise errors.InputError(f"{path}: not an OBJ file ({error}).") from error
  if out.ndim != 2 or out.shape[1] != 3:
    raise errors.InputError(f"{path}: not an OBJ file (no vertices x y z).")
  return out.astype(np.float32)


def _faces(path):
  """Returns the faces of an OBJ file, [F, 4] int64 from 0, -1: no corner."""
  rows = [
    [int(corner.split(b"/")[0]) - 1 for corner in row]
    for row in _lines(path, b"f ")
  ]
  if not rows or {len(row) for row in rows} - {3, 4}:
    raise errors.InputError(
      f"{path}: expected faces of three or four corners each."
    )
  return np.array([row + [-1] * (4 - len(row)) for row in rows], np.int64)
