import numpy as np
import pytest

from facerep_jax import errors
from facerep_jax.synthetic import ict, ict_read

# A square of one face of four corners and one of three.
NEUTRAL = np.array(
  [[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0], [0.5, 2, 0.25]], np.float32
)
FACES = np.array([[0, 1, 2, 3], [3, 2, 4, -1]])


def _obj(path, vertices):
  lines = ["# made by hand"]
  lines += [f"v {x} {y} {z}" for x, y, z in vertices]
  lines += ["vt 0 0", "f 1/1/1 2/1/1 3/1/1 4/1/1", "f 4/1/1 3/1/1 5/1/1"]
  path.write_text("\n".join(lines) + "\n")


@pytest.fixture
def folder(tmp_path):
  out = tmp_path / "FaceXModel"
  out.mkdir()
  _obj(out / "generic_neutral_mesh.obj", NEUTRAL)
  _obj(out / "identity000.obj", NEUTRAL + 1)
  _obj(out / "identity001.obj", NEUTRAL * 2)
  _obj(out / "jawOpen.obj", NEUTRAL - [0, 0.5, 0])
  return out


def _arrays():
  return {
    "neutral": NEUTRAL,
    "identity": np.stack([np.ones_like(NEUTRAL), NEUTRAL]).astype(np.float16),
    "expression": np.broadcast_to([0, -0.5, 0], (1, 5, 3)).astype(np.float16),
    "expression_names": np.array(["jawOpen"]),
    "faces": FACES.astype(np.int32),
  }


@pytest.fixture
def npz(tmp_path):
  path = tmp_path / "ict.npz"
  np.savez(path, **_arrays())
  return path


def test_folder_and_npz_read_alike(folder, npz):
  for data in (ict_read.read(str(folder)), ict_read.read(str(npz))):
    np.testing.assert_array_equal(data.neutral, NEUTRAL)
    np.testing.assert_array_equal(data.identity[0], np.ones((5, 3)))
    np.testing.assert_array_equal(data.identity[1], NEUTRAL)
    assert list(data.expression) == ["jawOpen"]
    np.testing.assert_array_equal(data.expression["jawOpen"][3], [0, -0.5, 0])
    triangles = {tuple(x) for x in data.triangles}
    assert triangles == {(0, 1, 2), (0, 2, 3), (3, 2, 4)}


def test_fingerprint_follows_the_content(folder, npz):
  first = [ict_read.fingerprint(str(x)) for x in (folder, npz)]
  assert first == [ict_read.fingerprint(str(x)) for x in (folder, npz)]
  (folder / "jawLeft.obj").write_text("")
  np.savez(npz, **_arrays() | {"neutral": NEUTRAL + 1})
  second = [ict_read.fingerprint(str(x)) for x in (folder, npz)]
  assert not set(first) & set(second)


def _refused(path, *words):
  with pytest.raises(errors.InputError) as caught:
    ict_read.read(str(path))
  message = str(caught.value)
  assert "\n" not in message and str(path).split(".")[0] in message
  for word in words:
    assert word in message


def test_what_is_not_there_is_named(tmp_path, folder):
  _refused(tmp_path / "absent", "No such file", "FaceXModel")
  (folder / "generic_neutral_mesh.obj").unlink()
  _refused(folder, "holds no generic_neutral_mesh.obj")


def test_folder_without_identities_is_refused(folder):
  for name in ("identity000.obj", "identity001.obj"):
    (folder / name).unlink()
  _refused(folder, "no identity000.obj")


def test_mesh_of_another_size_is_refused(folder):
  _obj(folder / "jawOpen.obj", NEUTRAL[:4])
  _refused(folder, "jawOpen.obj", "4 vertices", "5")


def test_file_that_is_no_mesh_is_refused(folder):
  path = folder / "jawOpen.obj"
  for text in ("", "v 1 2\n", "v one two three\n"):
    path.write_text(text)
    _refused(folder, "jawOpen.obj", "not an OBJ file")
  base = folder / "generic_neutral_mesh.obj"
  base.write_text("v 0 0 0\nf 1 1\n")
  _refused(folder, "three or four corners")


@pytest.mark.parametrize(
  ("name", "value", "words"),
  [
    ("identity", np.zeros((2, 4, 3)), ["identity", "(2, 4, 3)", "(2, 5, 3)"]),
    ("expression", np.zeros((2, 5, 3)), ["expression", "(1, 5, 3)"]),
    ("faces", np.zeros((2, 3), int), ["faces", "(2, 4)"]),
    ("neutral", np.zeros((5, 2)), ["neutral", "(5, 3)"]),
  ],
)
def test_array_of_another_shape_is_refused(npz, name, value, words):
  np.savez(npz, **_arrays() | {name: value})
  _refused(npz, *words)


def test_npz_that_lacks_arrays_or_is_none_is_refused(npz):
  arrays = _arrays()
  del arrays["faces"], arrays["identity"]
  np.savez(npz, **arrays)
  _refused(npz, "lacks identity, faces")
  npz.write_bytes(b"no zip file")
  _refused(npz, "not an npz file")
  # Objects would need a pickle, which is never read.
  np.savez(npz, **_arrays() | {"neutral": np.array([None])})
  _refused(npz, "not an npz file")


def test_head_of_another_mesh_is_refused(npz):
  with pytest.raises(errors.InputError, match="5 vertices, expected") as caught:
    ict.model(str(npz))
  assert "\n" not in str(caught.value)
