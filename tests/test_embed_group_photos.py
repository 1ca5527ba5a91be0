"""All faces of photos as rows of a table."""

import types

import numpy as np
import pytest
from PIL import Image

from facerep_jax import cli, embed
from facerep_jax.data import photos
from facerep_jax.detection import crop, detect
from facerep_jax.files import colour
from facerep_jax.inference import api
from facerep_jax.synthetic import generator
from tests.tracks import helpers

parquet = pytest.importorskip("pyarrow.parquet")

SIDE, SIZE = 20, (120, 240)
RED, GREEN, BLUE = (250, 30, 30), (30, 250, 30), (30, 30, 250)


def strips(image):
  """A detector of bright squares that stand beside each other, best first.

  The one furthest to the right has the best score.
  """
  lit = (image.max(-1) > 128).any(0)
  edges = np.flatnonzero(np.diff(np.pad(lit, 1)))
  found = []
  for x0, x1 in edges.reshape(-1, 2):
    rows = np.flatnonzero(image[:, x0].max(-1) > 128)
    if x1 - x0 > 4:
      found.append([x0, rows[0], x1, rows[-1] + 1, 1.0 + x0])
  return np.array(found[::-1], np.float32).reshape(-1, 5)


class Model:
  """Tells people by the colour of their faces."""

  step = 7
  feature_names = ("expression", "identity")
  system = types.SimpleNamespace(faces=None)

  def __init__(self):
    self.sizes = []

  def embed(self, images, batch_size):
    self.sizes.append(len(images))
    # The face alone, about the middle of its crop.
    middle = [x[len(x) * 3 // 8 : len(x) // 2] for x in images]
    found = [x[:, len(x[0]) * 3 // 7 : len(x[0]) * 4 // 7] for x in middle]
    identity = np.array([x.mean((0, 1)) / 255 for x in found], np.float32)
    return {"identity": identity, "expression": identity[:, :1]}


@pytest.fixture(autouse=True)
def model(monkeypatch):
  one = Model()
  monkeypatch.setattr(api, "load", lambda place: one)
  monkeypatch.setattr(photos.detect, "make_detector", lambda model=None: strips)
  return one


def write(path, *squares):
  image = np.full((*SIZE, 3), 30, np.uint8)
  for x, y, tint in squares:
    image[y : y + SIDE, x : x + SIDE] = tint
  Image.fromarray(image).save(path)


@pytest.fixture
def folder(tmp_path):
  """Three people, one of them again, no one, and what is no photo."""
  folder = tmp_path / "photos"
  folder.mkdir()
  write(folder / "1.png", (20, 50, RED), (110, 50, GREEN), (200, 50, BLUE))
  write(folder / "2.png", (110, 40, BLUE))
  write(folder / "3.png")
  (folder / "4.png").write_bytes(b"no photo")
  return folder


def run(images, output, **options):
  options = {"workdir": "run", "images": images, "output": output} | options
  arguments = [f"--{name.replace('_', '-')}={x}" for name, x in options.items()]
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr("sys.argv", ["embed", *arguments])
    return cli.run(embed.main)


def table_of(images, **options):
  output = images.parent / "out.parquet"
  assert run(images, output, **options) == 0
  return parquet.read_table(output).to_pylist()


def test_each_face_of_a_photo_has_a_row(folder, capsys):
  rows = table_of(folder)
  assert [x["file"] for x in rows] == ["1.png"] * 3 + ["2.png", "3.png"]
  # The main one first, in the middle here; then from left to right.
  assert [x["track"] for x in rows] == [0, 1, 2, 0, 0]
  assert [x["x0_px"] for x in rows] == [110, 20, 200, 110, None]
  assert [x["y1_px"] for x in rows] == [70, 70, 70, 60, None]
  assert [x["score"] for x in rows] == [111, 21, 201, 111, None]
  assert [x["detected"] for x in rows] == [1, 1, 1, 1, None]
  # Blue comes again; a photo without a face is whole, and grey.
  assert [x["person"] for x in rows] == [0, 1, 2, 2, 3]
  said = capsys.readouterr()
  assert "5 rows, 5 tracks, 4 people; 4 images, 1 skipped" in said.out
  assert any(
    x.startswith("skipped: ") and "4.png" in x for x in said.err.splitlines()
  )


def test_faces_of_a_photo_are_different_people(folder):
  # All are alike enough to be one person, but for those that stand together.
  rows = table_of(folder, same_person=2)
  people = [x["person"] for x in rows]
  assert sorted(people[:3]) == [0, 1, 2] and set(people) == {0, 1, 2}


def test_the_main_face_alone(folder):
  rows = table_of(folder, faces="main")
  assert [x["file"] for x in rows] == ["1.png", "2.png", "3.png"]
  assert [x["track"] for x in rows] == [0] * 3
  assert [x["x0_px"] for x in rows] == [110, 110, None]


def test_photos_without_a_face_are_named(folder, capsys):
  rows = table_of(folder, crop="face")
  assert len(rows) == 4
  said = capsys.readouterr()
  assert "skipped: 3.png: no face found." in said.err.splitlines()
  assert "4 images, 2 skipped" in said.out


def test_batches_are_of_faces(folder, model):
  table_of(folder, batch_size=2)
  assert model.sizes == [2, 2, 1]


def test_what_was_assumed_of_a_photo_is_counted_once(tmp_path, capsys):
  folder = tmp_path / "photos"
  folder.mkdir()
  image = np.full((*SIZE, 4), 255, np.uint8)
  image[..., :3] = 30
  image[0, 0, 3] = 0  # A hole.
  for x in (20, 110):
    image[50:70, x : x + SIDE, :3] = RED
  Image.fromarray(image).save(folder / "1.png")
  assert len(table_of(folder)) == 2
  lines = capsys.readouterr().err.splitlines()
  assert [x for x in lines if x.startswith("noted:")] == [
    f"noted: 1 x {colour.TRANSPARENT}"
  ]


def test_face_crops_have_one_face(tmp_path, capsys):
  folder = tmp_path / "crops"
  folder.mkdir()
  for i in range(2):
    Image.new("RGB", (40, 40), RED).save(folder / f"{i}.png")
  for faces in ({}, {"faces": "all"}):
    rows = table_of(folder, **faces)
    assert [(x["track"], x["x0_px"]) for x in rows] == [(0, None)] * 2
  assert "ALL images are left WHOLE" in capsys.readouterr().err
  assert len(table_of(folder, crop="none")) == 2


@pytest.mark.parametrize("crop_kind", ["auto", "face"])
def test_the_log_says_that_all_are_taken(folder, capsys, crop_kind):
  table_of(folder, crop=crop_kind)
  lines = capsys.readouterr().err.splitlines()
  [line] = [x for x in lines if "--faces=main" in x]
  assert "all faces" in line.lower()


def test_arrays_have_the_main_face(folder, tmp_path):
  for faces in ({}, {"faces": "main"}):
    assert run(folder, tmp_path / "x.npz", **faces) == 0
    with np.load(tmp_path / "x.npz") as found:
      assert found["paths"].tolist() == ["1.png", "2.png", "3.png"]
      np.testing.assert_allclose(
        found["identity"][0], np.array(GREEN) / 255, atol=0.02
      )


@pytest.mark.parametrize(
  ("change", "text"),
  [
    ({"output": "{tmp}/x.npz"}, "--faces=all: goes with a .csv or .parquet"),
    ({"crop": "none"}, "--faces=all and --crop=none: expected one of them"),
    ({"images": "{tmp}/tracks"}, "tracks holds face tracks, of one face a fr"),
    ({"images": "", "videos": "{tmp}"}, "of videos, all faces are taken"),
    ({"faces": "both"}, "invalid choice: 'both'"),
  ],
)
def test_what_cannot_be_done_ends_in_one_line(
  folder, tmp_path, capsys, change, text
):
  helpers.write_dataset(tmp_path / "tracks", [helpers.track(1, 2)])
  manifest = tmp_path / "tracks" / "manifest.json"
  manifest.write_text('{"splits": {"train": {}}}')
  options = {"images": folder, "output": tmp_path / "x.csv", "faces": "all"}
  options |= {k: v.format(tmp=tmp_path) for k, v in change.items()}
  assert run(**options) == 1
  last = capsys.readouterr().err.splitlines()[-1]
  assert last.startswith("error: ") and text in last
  assert not (tmp_path / "x.csv").exists()


def test_synthetic_faces_are_found_beside_each_other(tmp_path, monkeypatch):
  pytest.importorskip("cv2")
  monkeypatch.undo()
  # People whom the cascades find on their own.
  settings = generator.Settings(
    num_people=4, num_frames=1, size_px=96, pose_scale=0.2
  )
  faces = [generator.draw_track(settings, i, 0).frames[0] for i in range(3)]
  image = np.full((160, 400, 3), 90, np.uint8)
  lefts = (20, 150, 284)
  for left, face in zip(lefts, faces):
    image[30:126, left : left + 96] = face
  cut = crop.find_and_crop(
    image, detect.make_detector("cascade"), 64, is_all=True
  )
  found = [cut, *cut.others]
  middles = [x.face[[0, 2]].mean() for x in found]
  # Heads are drawn in the middle of their frames, about.
  want = [x + 48 for x in (lefts[1], lefts[0], lefts[2])]
  np.testing.assert_allclose(middles, want, atol=12)
  assert {x.image.shape for x in found} == {(64, 64, 3)}
