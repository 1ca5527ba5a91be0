import io
import sys

import numpy as np
import pygltflib
import pytest
from PIL import Image

from facerep_jax import errors
from facerep_jax.files import mesh_file
from facerep_jax.ops import camera, grid_mesh

SIZE = 16
CAMERA = camera.Camera(SIZE)
TYPES = {"SCALAR": 1, "VEC2": 2, "VEC3": 3}
NUMBERS = {5123: np.uint16, 5125: np.uint32, 5126: np.float32}


def example():
  """A lopsided bump, and a texture all of whose pixels differ."""
  rng = np.random.default_rng(0)
  y, x = np.mgrid[:SIZE, :SIZE] / (SIZE - 1) - 0.5
  depth = 1.03 - 0.08 * np.exp(-((x - 0.1) ** 2 + (y + 0.2) ** 2) / 0.1)
  pixels = rng.integers(0, 256, (SIZE, SIZE, 3)).astype(np.uint8)
  return depth.astype(np.float32), pixels


def read_glb(path):
  """Reads positions, uv, normals, triangles and texture."""
  gltf = pygltflib.GLTF2().load(str(path))
  blob = gltf.binary_blob()

  def array(number):
    accessor = gltf.accessors[number]
    view = gltf.bufferViews[accessor.bufferView]
    start = (view.byteOffset or 0) + (accessor.byteOffset or 0)
    columns = TYPES[accessor.type]
    kind = NUMBERS[accessor.componentType]
    flat = np.frombuffer(blob, kind, accessor.count * columns, start)
    return flat.reshape(-1, columns)

  (mesh,) = gltf.meshes
  (part,) = mesh.primitives
  names = part.attributes
  material = gltf.materials[part.material].pbrMetallicRoughness
  texture = gltf.textures[material.baseColorTexture.index]
  view = gltf.bufferViews[gltf.images[texture.source].bufferView]
  png = blob[view.byteOffset : view.byteOffset + view.byteLength]
  assert gltf.images[texture.source].mimeType == "image/png"
  assert material.metallicFactor == 0
  assert all(node.matrix is None for node in gltf.nodes)
  return (
    *(array(n) for n in (names.POSITION, names.TEXCOORD_0, names.NORMAL)),
    array(part.indices).reshape(-1, 3),
    np.asarray(Image.open(io.BytesIO(png)).convert("RGB")),
  )


def expected(depth):
  """Positions and uv, pixel by pixel in float64."""
  focal = (SIZE - 1) / 2 / np.tan(np.radians(CAMERA.fov_deg) / 2)
  positions, uv = [], []
  for i in range(SIZE):
    for j in range(SIZE):
      z = float(depth[i, j])
      x = z * (j - (SIZE - 1) / 2) / focal
      y = z * (i - (SIZE - 1) / 2) / focal
      # glTF: y up, z towards the viewer; here about the pivot at a depth of 1.
      positions.append((x, -y, 1.0 - z))
      # Its uv begin at the upper left corner of the texture.
      uv.append(((j + 0.5) / SIZE, (i + 0.5) / SIZE))
  return np.array(positions), np.array(uv)


@pytest.fixture(scope="module")
def glb(tmp_path_factory):
  path = tmp_path_factory.mktemp("mesh") / "sub" / "face.jpg.glb"
  depth, pixels = example()
  mesh_file.write(path, depth, pixels / 255, CAMERA)
  assert [p.name for p in path.parent.iterdir()] == ["face.jpg.glb"]
  return read_glb(path)


def test_every_pixel_is_a_vertex_at_its_place(glb):
  positions, uv, *_ = glb
  want_positions, want_uv = expected(example()[0])
  # Float32, rounded at a depth of about 1.
  np.testing.assert_allclose(positions, want_positions, atol=2e-7)
  np.testing.assert_allclose(uv, want_uv, atol=1e-7)


def test_triangles_are_those_of_the_grid_and_face_the_viewer(glb):
  positions, _, normals, faces, _ = glb
  assert faces.shape == (2 * (SIZE - 1) ** 2, 3)
  np.testing.assert_array_equal(
    np.sort(faces.ravel()), np.sort(grid_mesh.grid_faces(SIZE, SIZE).ravel())
  )
  a, b, c = (positions[faces[:, k]].astype(np.float64) for k in range(3))
  outer = np.cross(b - a, c - a)
  # Counter-clockwise, as seen from where the camera was.
  eye = np.array([0.0, 0.0, CAMERA.centre_depth])
  assert (np.sum(outer * (eye - a), axis=1) > 0).all()
  assert (normals[:, 2] > 0).all()
  np.testing.assert_allclose(np.linalg.norm(normals, axis=1), 1, atol=1e-5)
  # The nose, nearest to the camera, is nearest to the viewer, and above the
  # middle and right of it as in the depth map.
  x, y, z = positions[positions[:, 2].argmax()]
  assert z > 0.04 and x > 0 and y > 0


def test_texture_is_the_picture_and_uv_find_its_pixels(glb):
  _, uv, _, _, texture = glb
  pixels = example()[1]
  np.testing.assert_array_equal(texture, pixels)
  j, i = np.floor(uv * SIZE).astype(int).T
  np.testing.assert_array_equal(texture[i, j], pixels.reshape(-1, 3))


def test_obj_brings_its_material_and_texture(tmp_path):
  depth, pixels = example()
  mesh_file.write(tmp_path / "my face.png.obj", depth, pixels / 255, CAMERA)
  assert sorted(p.name for p in tmp_path.iterdir()) == [
    *("my face.png.obj", "my_face_png.mtl", "my_face_png.png")
  ]
  rows = {"v": [], "vt": [], "f": []}
  for line in (tmp_path / "my face.png.obj").read_text().splitlines():
    kind, *values = line.split() or [""]
    if kind in rows:
      rows[kind].append(values)
    if kind == "mtllib":
      assert values == ["my_face_png.mtl"]
  want_positions, want_uv = expected(depth)
  # Eight decimals, of float32.
  np.testing.assert_allclose(
    np.array(rows["v"], float)[:, :3], want_positions, atol=2e-7
  )
  # Here v goes up.
  got = np.array(rows["vt"], float) * [1, -1] + [0, 1]
  np.testing.assert_allclose(got, want_uv, atol=1e-6)
  corners = np.array([[x.split("/") for x in face] for face in rows["f"]], int)
  want = 1 + grid_mesh.grid_faces(SIZE, SIZE)
  np.testing.assert_array_equal(corners[..., 0], want)
  np.testing.assert_array_equal(corners[..., 1], want)
  material = (tmp_path / "my_face_png.mtl").read_text()
  assert "map_Kd my_face_png.png" in material
  assert "Kd 1.0" in material  # Otherwise the texture would be darkened.
  with Image.open(tmp_path / "my_face_png.png") as texture:
    np.testing.assert_array_equal(np.asarray(texture.convert("RGB")), pixels)


def test_one_line_says_what_is_wrong(tmp_path, monkeypatch):
  depth, pixels = example()
  with pytest.raises(errors.InputError, match="ends in .glb or .obj"):
    mesh_file.write(tmp_path / "a.ply", depth, pixels / 255, CAMERA)
  with pytest.raises(errors.InputError, match="texture01: expected .16, 16, 3"):
    mesh_file.write(tmp_path / "a.glb", depth, pixels[1:] / 255, CAMERA)
  with pytest.raises(errors.InputError, match="depth: expected"):
    mesh_file.write(tmp_path / "a.glb", depth[1:], pixels / 255, CAMERA)
  monkeypatch.setitem(sys.modules, "trimesh", None)
  with pytest.raises(errors.InputError, match=r"facerep_jax\[mesh\]"):
    mesh_file.write(tmp_path / "a.glb", depth, pixels / 255, CAMERA)
  assert not list(tmp_path.iterdir())
