"""The addresses of the explorer, asked as its page asks them."""

import io
import os
import pathlib
import signal
import subprocess
import sys
import urllib.request

import numpy as np
import pytest
from PIL import Image

from facerep_jax import errors, explore
from facerep_jax.data import photos
from facerep_jax.explorer import curves, neighbours, uploads
from facerep_jax.files import images
from facerep_jax.inference import face_folder
from tests import made_up_faces
from tests.explorer import served

ROOT = pathlib.Path(__file__).resolve().parents[2]
LOOK = {
  "yaw": 0,
  "pitch": 0,
  "roll": 0,
  "ambient": 0.4,
  "diffuse": 0.6,
  "right_deg": 0,
  "above_deg": 0,
}


def jpeg(pixels):
  return images.encode_jpeg(pixels, 95)


def picture(content):
  return np.asarray(Image.open(io.BytesIO(content))).astype(float)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
  """Four photos, and a file that is none."""
  place = tmp_path_factory.mktemp("photos")
  for i, image in enumerate(made_up_faces.photos(4)):
    (place / f"{i}.jpg").write_bytes(jpeg(image))
  (place / "x.jpg").write_bytes(b"no image")
  return face_folder.of_photos(place, "none")


@pytest.fixture(scope="module")
def client(latentface, folder):
  with served.running(latentface, faces=folder) as one:
    yield one


@pytest.fixture(scope="module")
def names(client):
  """Two photos that were given."""
  return [
    client.post("/api/photo", jpeg(x))["name"] for x in made_up_faces.photos(2)
  ]


def test_the_page_is_told_what_the_model_can(client):
  about = client.get("/api/about")
  assert about["no_scene"] == "" and about["has_neutral"]
  assert about["has_folder"] and not about["has_video"]


def test_sliders_turn_and_light_the_face(client, names):
  def draw(**changes):
    query = LOOK | {"photo": names[0]} | changes
    return picture(client.get("/api/render", **query))

  front = draw()
  assert front.shape == (64, 64, 3)
  np.testing.assert_array_equal(front, draw())
  for change in (
    {"yaw": 40},
    {"pitch": 30},
    {"roll": 30},
    {"ambient": 0, "diffuse": 1, "right_deg": 45},
    {"expression": "neutral"},
    {"expression": names[1]},
  ):
    assert np.abs(draw(**change) - front).mean() > 0.3, change


@pytest.mark.parametrize(
  "body", [b"", b"no image", jpeg(np.zeros((64, 64, 3), np.uint8))[:300]]
)
def test_a_broken_image_is_one_line_and_the_server_goes_on(client, body):
  status, line = client.error("POST", "/api/photo", body)
  assert status == 400 and line.startswith("this photo: ")
  assert client.get("/api/about")


def test_a_large_image_is_refused(client, monkeypatch):
  monkeypatch.setitem(
    client.server.routes,
    "/api/photo",
    client.server.routes["/api/photo"]._replace(most_bytes=1000),
  )
  status, line = client.error("POST", "/api/photo", b"a" * 1001)
  assert status == 413 and "at most" in line


def test_other_sites_are_refused(client):
  body = jpeg(made_up_faces.photos(1)[0])
  for headers in ({"Origin": "http://evil.example"}, {"Origin": None}):
    assert client.error("POST", "/api/photo", body, headers)[0] == 403
  headers = {"Host": f"evil.example:{client.server.server_port}"}
  assert client.error("GET", "/api/about", headers=headers)[0] == 403


def test_photos_that_are_not_kept_are_one_line(client):
  for path in ("/api/render?photo=x&yaw=0", "/api/nearest?photo="):
    assert "no longer kept" in client.error("GET", path)[1]


def test_the_nearest_faces_of_a_folder(client, names):
  progress = client.wait("/api/folder")
  assert progress["state"] == "ready" and progress["skipped"] == 1
  assert (progress["done"], progress["total"]) == (5, 5)
  found = client.get("/api/nearest", photo=names[1])
  assert found[0]["name"] == "1.jpg" and found[0]["distance"] < 1e-4
  assert len(found) == 4
  distances = [x["distance"] for x in found]
  assert distances == sorted(distances) and distances[1] > 1e-4
  thumb = client.get("/api/face", number=found[0]["number"])
  assert picture(thumb).shape == (128, 128, 3)
  for path, said in (
    ("/api/face?number=4", "no such face"),
    ("/api/face?number=-1", "expected a number"),
    (f"/api/nearest?photo={names[0]}&feature=x", "expected one of"),
  ):
    assert said in client.error("GET", path)[1]


def test_a_folder_may_be_too_large(latentface, folder, monkeypatch):
  monkeypatch.setattr(neighbours, "_READ_SIZE", 2)
  monkeypatch.setattr(neighbours, "MOST_FACES", 2)
  with served.running(latentface, faces=folder) as client:
    progress = client.wait("/api/folder")
  assert progress["faces"] == 2 and progress["left_out"] == 3


def test_a_folder_without_a_face_is_one_line(latentface, tmp_path):
  (tmp_path / "x.jpg").write_bytes(b"no image")
  faces = face_folder.of_photos(tmp_path, "none")
  with served.running(latentface, faces=faces) as client:
    progress = client.wait("/api/folder")
    assert (
      progress["state"] == "failed" and "not one photo" in (progress["message"])
    )
    name = client.post("/api/photo", jpeg(made_up_faces.photos(1)[0]))["name"]
    assert client.error("GET", f"/api/nearest?photo={name}")[0] == 400


def test_without_scene_factors_the_nearest_faces_are_left(fabnet, folder):
  with served.running(fabnet, faces=folder) as client:
    about = client.get("/api/about")
    assert "fabnet" in about["no_scene"] and not about["has_neutral"]
    told = client.post("/api/photo", jpeg(made_up_faces.photos(3)[2]))
    assert len(told["pictures"]) == 1 and "angles" not in told
    client.wait("/api/folder")
    found = client.get("/api/nearest", photo=told["name"])
    assert found[0]["name"] == "2.jpg"
    status, line = client.error(
      "GET",
      f"/api/render?photo={told['name']}&"
      + "&".join(f"{k}={v}" for k, v in LOOK.items()),
    )
    assert status == 400 and "does not take faces apart" in line


def bright_square(image):
  """A detector of one bright square."""
  rows, columns = np.nonzero(image.max(-1) > 128)
  if not len(rows):
    return np.zeros((0, 5), np.float32)
  box = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
  return np.array([[*box, 5.0]], np.float32)


def write_clip(path, num_frames=12):
  """A square that moves; it is away for a while in the middle."""
  av = pytest.importorskip("av")
  with av.open(str(path), "w") as container:
    stream = container.add_stream("mpeg4", rate=10)
    stream.width, stream.height, stream.pix_fmt = 160, 120, "yuv420p"
    for i in range(num_frames):
      pixels = np.full((120, 160, 3), 30, np.uint8)
      pixels[40:70, 20 + 3 * i : 50 + 3 * i] = 220, 200, 180
      frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
      container.mux(stream.encode(frame))
    container.mux(stream.encode())
  return path


@pytest.fixture
def made_up_detector(monkeypatch):
  for module in (curves.detect, photos.detect):
    monkeypatch.setattr(
      module, "make_detector", lambda model=None: bright_square
    )


@pytest.mark.usefixtures("made_up_detector")
def test_curves_of_a_video(latentface, tmp_path):
  path = write_clip(tmp_path / "a.mp4")
  with served.running(latentface, video=path) as client:
    assert client.get("/api/about")["has_video"]
    state = client.wait("/api/video")
    assert state["state"] == "ready" and state["name"] == "a.mp4"
    (person,) = state["people"]
    count = len(person["seconds"])
    assert count == 12
    np.testing.assert_allclose(person["seconds"], np.arange(12) / 10, atol=1e-3)
    assert person["frames"] == list(range(12))
    x0 = np.array(person["boxes"])[:, 0]
    assert x0[0] == pytest.approx(20 / 160, abs=0.02) and np.all(np.diff(x0))
    assert {"yaw, degrees", "pitch, degrees", "roll, degrees"} <= set(
      person["curves"]
    )
    assert all(len(x) == count for x in person["curves"].values())
    assert picture(client.get("/api/frame", number=3)).shape == (120, 160, 3)
    assert "no such frame" in client.error("GET", "/api/frame?number=99")[1]


@pytest.mark.usefixtures("made_up_detector")
def test_videos_that_are_sent_are_deleted(fabnet, tmp_path):
  content = write_clip(tmp_path / "a.mp4").read_bytes()
  with served.running(fabnet) as client:
    assert "no video" in client.error("GET", "/api/video")[1]
    place = pathlib.Path(client.explorer._folder.name)
    for name in ("first.mp4", "second.mp4"):
      client.post(f"/api/new-video?name={name}", content)
      assert client.wait("/api/video")["state"] == "ready"
      assert len(list(place.iterdir())) == 1
    state = client.get("/api/video")
    assert state["name"] == "second.mp4"
    assert set(state["people"][0]["curves"]) == {
      "embedding, norm",
      "embedding, distance from its mean",
    }
    client.post("/api/new-video?name=bad.mp4", b"no video" * 50)
    state = client.wait("/api/video")
    assert state["state"] == "failed" and "bad.mp4" in state["message"]
    assert str(place) not in state["message"]
    assert client.get("/api/about")
  assert not place.exists()


def test_curves_by_hand(latentface):
  class Engine:
    """Of a model whose view of 1 is a turn of 40 degrees."""

    def angles_deg(self, view):
      return view[:, (1, 0, 2)] * 40

  view = np.zeros((2, 6), np.float32)
  view[1, :3] = 0.5, -0.25, 1
  found = {
    "expression": np.array([[3, 4], [0, 2]], np.float32),
    "identity": np.array([[1, 0], [0, 1]], np.float32),
    "light": np.array([[0, 0, 0, 0], [0, 0, -1, 1]], np.float32),
    "view": view,
  }
  made = curves.curves_of(found, Engine())
  for name, want in {
    "yaw, degrees": [0, -10],
    "pitch, degrees": [0, 20],
    "roll, degrees": [0, 40],
    "expression, norm": [5, 2],
    "identity, distance from its mean": [1 - 0.5**0.5] * 2,
    "light from the right, degrees": [0, 45],
    "light from above, degrees": [0, 45],
  }.items():
    np.testing.assert_allclose(made[name], want, atol=1e-4, err_msg=name)
  assert "identity, norm" not in made


def test_a_photo_that_is_cut_already_is_left_whole(monkeypatch):
  pixels = np.full((100, 100, 3), 30, np.uint8)

  def read(box, kind="auto"):
    face = np.array([[*box, 5.0]], np.float32)[: len(box) // 4]
    find = lambda image: face.reshape(-1, 5)
    monkeypatch.setattr(
      uploads.detect, "make_detector", lambda model=None: find
    )
    return uploads.read(jpeg(pixels), kind)

  assert read((10, 10, 90, 90)).image.shape == (100, 100, 3)
  assert read((30, 30, 60, 60)).kind == "face"
  assert read((30, 30, 60, 60)).image.shape == (256, 256, 3)
  assert read((), "auto").kind == "whole"
  with pytest.raises(errors.InputError, match="no face found"):
    read((), "face")


@pytest.mark.parametrize(
  ("arguments", "said"),
  [
    ((), "expected one of --workdir=RUN and --model=NAME"),
    (("--model=fabnet-synthetic", "--port=70000"), "--port=70000: expected"),
    (("--model=fabnet-synthetic", "--folder=none"), "--folder=none: no such"),
    (("--model=fabnet-synthetic", "--video=none"), "--video=none: no such"),
  ],
)
def test_arguments_that_cannot_be_used_are_one_line(arguments, said):
  with pytest.raises(errors.InputError, match=said):
    explore.main([*arguments, "--crop=none"])


def test_the_command_serves_until_it_is_interrupted(tmp_path):
  process = subprocess.Popen(
    [
      *(sys.executable, "-m", "facerep_jax.explore"),
      *("--model=fabnet-synthetic", "--port=0", "--no-browser", "--crop=none"),
    ],
    cwd=ROOT,
    env=os.environ | {"TMPDIR": str(tmp_path)},
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    text=True,
  )
  try:
    line = process.stdout.readline()
    url = line.split()[0]
    with urllib.request.urlopen(url, timeout=30) as answer:
      assert b"Face explorer" in answer.read()
    assert len(list(tmp_path.glob("facerep_jax_*"))) == 1
    # Taken as Ctrl-C. A shell's background jobs ignore SIGINT itself.
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=60)
  finally:
    process.kill()
    process.wait()
  assert process.returncode == 0
  assert said.splitlines()[-1] == "stopped" and "Traceback" not in said
  assert not list(tmp_path.glob("facerep_jax_*"))
