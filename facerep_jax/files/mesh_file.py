"""Faces as textured meshes in files: GLB (binary glTF 2.0) or OBJ.

Axes are those of glTF: right-handed, x right, y up, z towards the viewer, whom
the face looks at. Lengths are scene units: the camera was at a distance of 1
from the origin, about which faces turn, and all that a picture shows is 0.17 to
0.18 wide; read as metres, faces have about their true size.
"""

import os
import pathlib
import re
import types

import numpy as np
from PIL import Image

from facerep_jax import errors
from facerep_jax.files import atomic
from facerep_jax.ops import camera as cameras
from facerep_jax.ops import grid_mesh

FORMATS = ("glb", "obj")


def library() -> types.ModuleType:
  """Imports what writes the files.

  Raises:
    InputError: It is not installed.
  """
  return errors.require("trimesh", "mesh", "writing meshes")


def write(
  path: str | os.PathLike,
  depth: np.ndarray,
  texture01: np.ndarray,
  camera: cameras.Camera,
) -> None:
  """Writes the mesh of a face, every pixel of its depth map a vertex.

  An OBJ file has its material and its texture beside it, .mtl and .png of the
  same name, in which all but letters and digits becomes "_".

  Args:
    path: File to write, .glb or .obj; its folder is made if it does not exist.
    depth: [S, S] float, canonical, scene units.
    texture01: [S, S, 3] float, [0, 1], canonical.
    camera: S is its size.

  Raises:
    InputError: A shape does not fit, the kind of file is unknown, or the
      library that writes it is not installed.
  """
  path = pathlib.Path(path)
  kind = path.suffix[1:].lower()
  if kind not in FORMATS:
    raise errors.InputError(
      f"{path}: expected a name that ends in .{' or .'.join(FORMATS)}."
    )
  size = camera.size_px
  errors.check_shape("texture01", texture01, f"{size} {size} 3")
  vertices, uv = surface(depth, camera)
  pixels = np.rint(np.clip(texture01, 0.0, 1.0) * 255).astype(np.uint8)
  image = Image.fromarray(pixels)
  {"glb": _write_glb, "obj": _write_obj}[kind](path, vertices, uv, image)


def files_of(path: pathlib.Path) -> list[pathlib.Path]:
  """Names the files that `write` makes: an OBJ file does not come alone."""
  if path.suffix.lower() != ".obj":
    return [path]
  stem = _obj_name(path)
  return [path, path.with_name(f"{stem}.mtl"), path.with_name(f"{stem}.png")]


def surface(
  depth: np.ndarray, camera: cameras.Camera
) -> tuple[np.ndarray, np.ndarray]:
  """Places the vertices of a mesh in space and in its texture.

  Args:
    depth: [S, S] float, scene units.
    camera: S is its size.

  Returns:
    [S * S, 3] float32, in the axes of the files; [S * S, 2] float32, u to the
    right and v upwards from the lower left corner of the texture.

  Raises:
    InputError: The depth map is not of the size of the camera.
  """
  size = camera.size_px
  points = np.asarray(cameras.back_project(depth[None], camera))[0]
  pivot = np.array([0, 0, camera.centre_depth], np.float32)
  # Half a turn about x: down becomes up, and away becomes towards the viewer.
  # The corners of a triangle keep their order, and thus its outer side.
  vertices = (points - pivot) * np.array([1, -1, -1], np.float32)
  middle = ((np.arange(size) + 0.5) / size).astype(np.float32)
  u, v = np.meshgrid(middle, 1 - middle)
  return vertices.reshape(-1, 3), np.stack([u, v], axis=-1).reshape(-1, 2)


def _write_glb(path, vertices, uv, image):
  material = library().visual.material.PBRMaterial(
    name="face",
    baseColorTexture=image,
    metallicFactor=0.0,
    roughnessFactor=1.0,
    doubleSided=True,
  )
  mesh = _mesh(vertices, uv, image, material)
  with atomic.whole(path) as temporary:
    temporary.write_bytes(mesh.export(file_type="glb", include_normals=True))


def _write_obj(path, vertices, uv, image):
  name = _obj_name(path)
  white = [255, 255, 255, 255]
  material = library().visual.material.SimpleMaterial(
    image, diffuse=white, ambient=white, specular=[0, 0, 0, 0], glossiness=1.0
  )
  material.name = name  # Older versions of trimesh take no argument.
  text, others = library().exchange.obj.export_obj(
    _mesh(vertices, uv, image, material),
    include_normals=True,
    return_texture=True,
    mtl_name=f"{name}.mtl",
  )
  for other, content in others.items():
    with atomic.whole(path.with_name(other)) as temporary:
      temporary.write_bytes(content)
  with atomic.whole(path) as temporary:
    temporary.write_text(text, encoding="utf-8")


def _obj_name(path):
  # Many readers stumble over other signs in the names of files.
  return re.sub("[^A-Za-z0-9_]", "_", path.stem)


def _mesh(vertices, uv, image, material):
  trimesh = library()
  return trimesh.Trimesh(
    vertices,
    grid_mesh.grid_faces(*image.size),
    visual=trimesh.visual.TextureVisuals(uv=uv, material=material),
    process=False,
  )
