"""Videos, photos and tracks as tables of faces."""

import csv
import json
import threading
import time
import types

import numpy as np
import pytest
from PIL import Image

from facerep_jax import cli, embed, errors
from facerep_jax.data import photos, video_faces
from facerep_jax.faces import rendering
from facerep_jax.files import table
from facerep_jax.inference import api, face_rows, face_table, read_ahead
from facerep_jax.ops import camera
from tests.tracks import helpers

av = pytest.importorskip("av")
parquet = pytest.importorskip("pyarrow.parquet")

SIDE, SIZE, RATE = 30, (120, 160), 10
RED, GREEN, BLUE = (250, 30, 30), (30, 250, 30), (30, 30, 250)
MAX_ANGLE_DEG = 40.0


class Model:
  """Tells people by the colour of their faces, and turns each a little."""

  step = 7
  feature_names = ("expression", "fer", "identity", "view")

  def __init__(self):
    formation = rendering.Formation(
      camera.Camera(size_px=64), max_angle_deg=MAX_ANGLE_DEG
    )
    faces = types.SimpleNamespace(formation=formation)
    self.system = types.SimpleNamespace(faces=faces)
    self.sizes, self.threads = [], set()

  def embed(self, images, batch_size):
    self.sizes.append(len(images))
    self.threads.add(threading.get_ident())
    colours = [_middle(x).mean((0, 1)) / 255 for x in images]
    identity = np.array(colours, np.float32)
    view = np.zeros((len(images), 6), np.float32)
    view[:, :3] = 0.25, -0.5, 0.75
    return {
      "expression": identity[:, :1],
      "fer": identity,
      "identity": identity,
      "view": view,
    }


def _middle(image):
  """Returns the part of a crop that shows the face alone."""
  height, width = image.shape[:2]
  return image[height * 3 // 8 : height // 2, width * 3 // 7 : width * 4 // 7]


def bright_spots(image):
  """A detector of squares: one in the left half, one in the right half."""
  found = []
  for left in (0, 80):
    rows, columns = np.nonzero(image[:, left : left + 80].max(-1) > 128)
    if len(rows):
      x0, y0 = columns.min() + left, rows.min()
      x1, y1 = columns.max() + 1 + left, rows.max() + 1
      found.append([x0, y0, x1, y1, 5.0 + left / 80])
  return np.array(found, np.float32).reshape(-1, 5)


def write_clip(path, shown):
  """Encodes frames; each shows squares, (x, y, colour) each."""
  path.parent.mkdir(parents=True, exist_ok=True)
  with av.open(str(path), "w") as container:
    stream = container.add_stream("mpeg4", rate=RATE)
    stream.height, stream.width, stream.pix_fmt = *SIZE, "yuv420p"
    stream.bit_rate = 10**7
    for squares in shown:
      image = np.full((*SIZE, 3), 30, np.uint8)
      for x, y, colour in squares:
        image[y : y + SIDE, x : x + SIDE] = colour
      frame = av.VideoFrame.from_ndarray(image, format="rgb24")
      container.mux(stream.encode(frame))
    container.mux(stream.encode())
  return path


def steady(count, *squares):
  return [squares] * count


@pytest.fixture(autouse=True)
def model(monkeypatch):
  one = Model()
  monkeypatch.setattr(api, "load", lambda place: one)
  for module in (face_rows.detect, photos.detect):
    monkeypatch.setattr(
      module, "make_detector", lambda model=None: bright_spots
    )
  return one


@pytest.fixture
def clips(tmp_path):
  """Two clips of a red person, one of them with a green one beside."""
  folder = tmp_path / "clips"
  write_clip(folder / "a.mp4", [[(10 + 2 * i, 40, RED)] for i in range(20)])
  both = (20, 40, GREEN), (110, 50, RED)
  write_clip(folder / "sub" / "b.mkv", steady(12, *both))
  return folder


def run(monkeypatch, **options):
  options = {"workdir": "run"} | options
  arguments = [
    f"--{name.replace('_', '-')}={value}" for name, value in options.items()
  ]
  monkeypatch.setattr("sys.argv", ["embed", *arguments])
  return cli.run(embed.main)


def rows_of(output):
  return parquet.read_table(output).to_pylist()


def embedded(monkeypatch, videos, **options):
  output = options.pop("output", videos.parent / "out.parquet")
  assert run(monkeypatch, videos=videos, output=output, **options) == 0
  return rows_of(output)


def test_a_row_for_each_face_and_frame(clips, monkeypatch, capsys):
  rows = embedded(monkeypatch, clips)
  places = [(x["file"], x["frame"], x["track"]) for x in rows]
  want = [("a.mp4", i, 0) for i in range(20)]
  want += [("sub/b.mkv", i, track) for i in range(12) for track in (0, 1)]
  assert places == want
  np.testing.assert_allclose(
    [x["seconds"] for x in rows], [i / RATE for _, i, _ in want], atol=1e-3
  )
  boxes = [[x[f"{side}_px"] for side in ("x0", "y0", "x1", "y1")] for x in rows]
  corners = [(10 + 2 * i, 40) for i in range(20)] + [(20, 40), (110, 50)] * 12
  true = [(x, y, x + SIDE, y + SIDE) for x, y in corners]
  # The square's edge is blurred by the coding: a pixel or two either way.
  np.testing.assert_allclose(boxes, true, atol=2)
  assert {x["detected"] for x in rows} == {1}
  assert [x["score"] for x in rows[20:24]] == [5, 6, 5, 6]
  angles = [rows[0][f"{name}_deg"] for name in ("yaw", "pitch", "roll")]
  assert angles == [-20, 10, 30]
  out = capsys.readouterr().out
  assert "44 rows, 3 tracks, 2 people; 2 videos, 0 skipped" in out


def test_people_are_told_apart_over_files(clips, monkeypatch, model):
  rows = embedded(monkeypatch, clips)
  people = {(x["file"], x["track"]): x["person"] for x in rows}
  assert people == {("a.mp4", 0): 0, ("sub/b.mkv", 0): 1, ("sub/b.mkv", 1): 0}
  rows = embedded(monkeypatch, clips, person="none")
  assert {x["person"] for x in rows} == {None}
  # All are alike enough, but two that are there at once are two people.
  rows = embedded(monkeypatch, clips, same_person=2)
  assert [x["person"] for x in rows[-2:]] in ([1, 0], [0, 1])
  assert {x["person"] for x in rows} == {0, 1}


def test_a_model_without_identity_leaves_people_out(
  clips, monkeypatch, model, capsys
):
  whole = model.embed
  model.feature_names = ("embedding",)
  model.system.faces = None
  model.embed = lambda images, batch_size: {
    "embedding": whole(images, batch_size)["identity"]
  }
  rows = embedded(monkeypatch, clips)
  assert {x["person"] for x in rows} == {None}
  assert {x["yaw_deg"] for x in rows} == {None}
  assert "embedding_2" in rows[0]
  assert "no feature 'identity'" in capsys.readouterr().err
  options = {"videos": clips, "output": clips.parent / "x.csv"}
  assert run(monkeypatch, **options, same_person=0.1) == 1
  assert "leave it out" in capsys.readouterr().err


def test_gaps_are_interpolated_and_have_no_score(tmp_path, monkeypatch):
  shown = [[(10 + 2 * i, 40, RED)] for i in range(20)]
  shown[8] = shown[9] = []
  rows = embedded(monkeypatch, write_clip(tmp_path / "a.mp4", shown))
  assert [x["detected"] for x in rows] == [1] * 8 + [0] * 2 + [1] * 10
  assert [x["score"] for x in rows[7:11]] == [5, None, None, 5]
  assert [x["file"] for x in rows] == ["a.mp4"] * 20
  np.testing.assert_allclose([x["x0_px"] for x in rows[8:10]], [26, 28], atol=2)


@pytest.mark.parametrize(
  ("options", "frames"),
  [
    ({"every": 4}, [0, 4, 8, 12, 16]),
    ({"every": 7}, [0, 7, 14]),
    ({"fps": 5}, [0, 2, 4, 6, 8, 10, 12, 14, 16, 18]),
    ({"fps": 1}, [0, 10]),
    ({"start": 0.5}, [*range(5, 20)]),
    ({"stop": 0.5}, [*range(5)]),
    ({"start": 0.45, "stop": 1.5, "every": 4}, [8, 12]),
    ({"start": 0.3, "stop": 1.1, "fps": 5}, [3, 4, 6, 8, 10]),
  ],
)
def test_frames_are_chosen(clips, monkeypatch, options, frames):
  rows = embedded(monkeypatch, clips / "a.mp4", **options)
  assert [x["frame"] for x in rows] == frames
  np.testing.assert_allclose(
    [x["seconds"] for x in rows], np.array(frames) / RATE, atol=1e-3
  )
  # The face was followed through the frames between.
  assert {x["track"] for x in rows} == {0}


def test_the_three_formats_hold_the_same(clips, tmp_path, monkeypatch):
  rows = embedded(monkeypatch, clips)
  names = list(rows[0])
  options = {"videos": clips, "workdir": "run"}
  assert run(monkeypatch, **options, output=tmp_path / "x.csv") == 0
  with open(tmp_path / "x.csv", newline="", encoding="utf-8") as file:
    lines = list(csv.DictReader(file))
  assert list(lines[0]) == names
  for line, row in zip(lines, rows, strict=True):
    assert line["file"] == row["file"]
    for name in names[1:]:
      assert np.float32(line[name]) == np.float32(row[name]), name
  assert run(monkeypatch, **options, output=tmp_path / "x.npz") == 0
  with np.load(tmp_path / "x.npz") as found:
    assert found["file"].tolist() == [x["file"] for x in rows]
    for name in names[1 : names.index("expression_0")]:
      assert found[name].tolist() == [x[name] for x in rows], name
    want = [[x[f"identity_{i}"] for i in range(3)] for x in rows]
    assert found["identity"].tolist() == want
    about = json.loads(str(found["metadata"]))[table.KEY]
  assert about == json.loads((tmp_path / "x.json").read_text())[table.KEY]
  assert about["model"] == "run" and about["step"] == 7
  assert about["columns"]["x0_px"]["unit"] == "px"
  assert about["same_person"] == face_table.SAME_PERSON


@pytest.mark.parametrize(
  ("asked", "names"),
  [
    (None, {"expression", "identity", "view"}),
    ("fer,identity", {"fer", "identity"}),
    ("none", set()),
  ],
)
def test_features_are_chosen(clips, monkeypatch, asked, names):
  options = {} if asked is None else {"features": asked}
  rows = embedded(monkeypatch, clips, every=5, **options)
  start = list(rows[0]).index("roll_deg") + 1
  assert {x.rpartition("_")[0] for x in list(rows[0])[start:]} == names
  assert rows[0]["yaw_deg"] == -20 and rows[0]["person"] == 0


def test_damaged_clips_are_named_and_others_go_on(clips, monkeypatch, capsys):
  (clips / "0.mp4").write_bytes(b"no video")
  write_clip(clips / "empty.mp4", steady(6))
  moved = [[(10 + 2 * i, 40, RED)] for i in range(50)]
  cut = write_clip(clips / "cut.avi", moved)
  cut.write_bytes(cut.read_bytes()[: cut.stat().st_size * 3 // 4])
  rows = embedded(monkeypatch, clips)
  files = {x["file"] for x in rows}
  assert files == {"a.mp4", "cut.avi", "sub/b.mkv"}
  said = capsys.readouterr()
  lines = said.err.splitlines()
  assert any(
    x.startswith(f"skipped: {clips}/0.mp4: not a video") for x in lines
  )
  assert f"skipped: {clips}/empty.mp4: no face found." in lines
  assert any(x.startswith(f"damaged: {clips}/cut.avi: ") for x in lines)
  assert "5 videos, 2 skipped" in said.out


def test_batches_fill_over_frames_and_files(clips, monkeypatch, model):
  embedded(monkeypatch, clips, batch_size=16)
  assert model.sizes == [16, 16, 12]
  assert model.threads == {threading.get_ident()}


def test_progress_is_that_of_the_videos(clips, monkeypatch, capsys):
  embedded(monkeypatch, clips, batch_size=8)
  lines = [x for x in capsys.readouterr().err.splitlines() if " left" in x]
  # 2 s and 1.2 s, rounded up; elsewhere than on a terminal only the end shows.
  assert len(lines) == 1
  assert lines[0].startswith("4 of 4 s of video, 44 faces, ")


def test_memory_is_bounded(clips, monkeypatch, tmp_path, model):
  waiting, looked, sizes = [], [], []
  iterate, follow = read_ahead.iterate, video_faces.follow

  def watched(items, size, *rest, **more):
    waiting.append(size)
    return iterate(items, size, *rest, **more)

  def counted(part, *rest):
    looked.append(len(part.index))
    return follow(part, *rest)

  monkeypatch.setattr(read_ahead, "iterate", watched)
  monkeypatch.setattr(video_faces, "follow", counted)
  monkeypatch.setattr(face_rows, "MOST_LOOKED", 8)
  monkeypatch.setattr(table, "ROWS", 10)
  rows = embedded(monkeypatch, clips)
  # Batches for the network, and tracks of a part for who cuts them out.
  assert waiting == [face_table.BATCHES_AHEAD, 1] == [2, 1]
  assert looked == [8, 8, 4, 8, 4] and len(rows) == 44
  file = parquet.ParquetFile(tmp_path / "out.parquet")
  sizes = [file.metadata.row_group(i).num_rows for i in range(5)]
  assert sizes == [10, 10, 10, 10, 4]
  # A new part of a video starts new tracks, of the same people.
  first = [x for x in rows if x["file"] == "a.mp4"]
  assert [x["frame"] for x in first] == list(range(20))
  assert [x["track"] for x in first] == [0] * 8 + [1] * 8 + [2] * 4
  assert {x["person"] for x in first} == {0}


def test_photos_give_the_same_table(tmp_path, monkeypatch):
  folder = tmp_path / "photos"
  folder.mkdir()
  for name, squares in (
    ("1", [(20, 40, RED)]),
    ("2", []),
    ("3", [(90, 30, RED)]),
  ):
    image = np.full((*SIZE, 3), 30, np.uint8)
    for x, y, colour in squares:
      image[y : y + SIDE, x : x + SIDE] = colour
    Image.fromarray(image).save(folder / f"{name}.png")
  output = tmp_path / "x.parquet"
  assert run(monkeypatch, images=folder, output=output) == 0
  rows = rows_of(output)
  assert [x["file"] for x in rows] == ["1.png", "2.png", "3.png"]
  assert [(x["frame"], x["seconds"], x["track"]) for x in rows] == [
    (0, None, 0)
  ] * 3
  assert [x["x0_px"] for x in rows] == [20, None, 90]
  assert [x["score"] for x in rows] == [5, None, 6]
  assert [x["detected"] for x in rows] == [1, None, 1]
  assert rows[0]["person"] == rows[2]["person"] == 0


def test_tracks_give_the_same_table(tmp_path, monkeypatch):
  labels = {
    "time_s": np.array([0, 0.5], np.float32),
    "box_px": np.arange(8, dtype=np.float32).reshape(2, 4),
    "detected": np.array([1, 0]),
  }
  records = [helpers.track(1, 2, labels=labels), helpers.track(2, 1)]
  helpers.write_dataset(tmp_path / "tracks", records)
  (tmp_path / "tracks" / "manifest.json").write_text(
    '{"splits": {"train": {}}}'
  )
  output = tmp_path / "x.parquet"
  options = {"images": tmp_path / "tracks", "output": output}
  assert run(monkeypatch, **options, person="none") == 0
  rows = rows_of(output)
  assert [x["file"] for x in rows] == ["p1/v/t", "p1/v/t", "p2/v/t"]
  assert [x["frame"] for x in rows] == [0, 1, 0]
  assert [x["seconds"] for x in rows] == [0, 0.5, None]
  assert [x["x1_px"] for x in rows] == [2, 6, None]
  assert [x["detected"] for x in rows] == [1, 0, None]
  assert [x["score"] for x in rows] == [None] * 3


def test_arrays_of_photos_hold_the_features_that_are_asked_for(
  tmp_path, monkeypatch
):
  Image.new("RGB", (200, 200)).save(tmp_path / "1.png")
  output = tmp_path / "x.npz"
  options = {"images": tmp_path, "output": output, "crop": "none"}
  for asked, names in (("view", {"view"}), ("none", set())):
    assert run(monkeypatch, **options, features=asked) == 0
    with np.load(output) as found:
      assert set(found.files) == names | {"paths", "crop", "notes"}
  assert run(monkeypatch, **options) == 0
  with np.load(output) as found:
    assert set(found.files) > set(Model.feature_names)


@pytest.mark.parametrize(
  ("change", "text"),
  [
    ({"videos": "{tmp}/nowhere"}, "no such file or folder"),
    ({"videos": "{tmp}/photos"}, "holds no video"),
    ({"videos": "{tmp}/photos/x.png"}, "expected a video"),
    ({"videos": "{tmp}/bad"}, "not one of 1 videos could be embedded"),
    ({"images": "{tmp}/photos"}, "expected one of --videos=PATH and --images"),
    ({"output": "{tmp}/x.txt"}, "ends in one of .npz, .csv, .parquet"),
    ({"output": "{tmp}/no/x.csv"}, "its folder does not exist"),
    ({"features": "nose"}, "expected some of expression, fer"),
    ({"features": "view,view"}, "one stands twice"),
    ({"every": "0"}, "--every=0: expected a whole number"),
    ({"every": "2", "fps": "3"}, "--every and --fps: expected one"),
    ({"fps": "nan"}, "--fps=nan: expected"),
    ({"start": "3", "stop": "2"}, "--stop=2.0: expected more than"),
    ({"start": "100"}, "not one of 2 videos"),
    ({"same_person": "3"}, "--same-person=3.0: expected a number from 0"),
    ({"same_person": "1", "person": "none"}, "expected one of them"),
    ({"crop": "none"}, "in videos, faces are always found"),
    ({"videos": "", "images": "{tmp}/photos", "every": "2"}, "goes with --vid"),
    (
      {
        "videos": "",
        "images": "{tmp}/photos",
        "output": "{tmp}/x.npz",
        "person": "none",
      },
      "--person: goes with",
    ),
  ],
)
def test_what_cannot_be_done_ends_in_one_line(
  clips, tmp_path, monkeypatch, capsys, change, text
):
  (tmp_path / "photos").mkdir()
  Image.new("RGB", (20, 20)).save(tmp_path / "photos" / "x.png")
  (tmp_path / "bad").mkdir()
  (tmp_path / "bad" / "x.mp4").write_bytes(b"no video")
  before = sorted(tmp_path.iterdir())
  options = {"videos": clips, "output": tmp_path / "x.csv"}
  options |= {k: v.format(tmp=tmp_path) for k, v in change.items()}
  assert run(monkeypatch, **options) == 1
  last = capsys.readouterr().err.splitlines()[-1]
  assert last.startswith("error: ") and text in last
  assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize("suffix", table.SUFFIXES)
def test_nothing_is_written_where_the_work_fails(
  clips, tmp_path, monkeypatch, model, capsys, suffix
):
  whole, before = model.embed, sorted(tmp_path.iterdir())

  def fail(images, batch_size):
    if model.sizes:
      raise MemoryError("too much")
    return whole(images, batch_size)

  model.embed = fail
  options = {"videos": clips, "output": tmp_path / f"x{suffix}"}
  assert run(monkeypatch, **options, batch_size=4) == 1
  assert "out of memory" in capsys.readouterr().err.splitlines()[-1]
  assert sorted(tmp_path.iterdir()) == before
  assert threading.active_count() == 1 or not [
    x for x in threading.enumerate() if "ThreadPool" in x.name
  ]


def test_a_detector_that_fails_ends_in_one_line(clips, monkeypatch, capsys):
  def fail(image):
    raise errors.InputError("detector: cannot be used.")

  monkeypatch.setattr(face_rows.detect, "make_detector", lambda model: fail)
  output = clips.parent / "x.csv"
  assert run(monkeypatch, videos=clips, output=output) == 1
  last = capsys.readouterr().err.splitlines()[-1]
  assert last == "error: detector: cannot be used."
  assert not output.exists()


def test_an_interrupt_ends_the_reading_of_a_long_video(
  clips, monkeypatch, model, tmp_path
):
  """Though nothing comes of it for long."""
  seen = []

  def slow(image):
    seen.append(1)
    if len(seen) > 16:
      time.sleep(0.1)
    return bright_spots(image)

  def interrupt(images, batch_size):
    raise KeyboardInterrupt

  monkeypatch.setattr(face_rows.detect, "make_detector", lambda model: slow)
  monkeypatch.setattr(face_rows, "MOST_LOOKED", 8)
  model.embed = interrupt
  shown = [[(10 + i, 40, RED)] for i in range(100)]
  clip = write_clip(tmp_path / "long.mp4", shown)
  output = tmp_path / "x.csv"
  assert run(monkeypatch, videos=clip, output=output, batch_size=4) == 130
  assert len(seen) < 40
  assert not output.exists()


def test_a_real_clip_gives_its_talking_head(shared, tmp_path, monkeypatch):
  monkeypatch.undo()
  clip = shared / "data" / "videos" / "bbaf2n.mpg"
  if not clip.is_file():
    pytest.skip(f"{clip} is absent")
  output = tmp_path / "x.parquet"
  options = {"workdir": "", "model": "latentface-synthetic", "every": 25}
  assert run(monkeypatch, videos=clip, output=output, **options) == 0
  rows = rows_of(output)
  assert [x["frame"] for x in rows] == [0, 25, 50]
  assert {x["person"] for x in rows} == {0}
  assert all(abs(x["yaw_deg"]) < 30 for x in rows)
  assert all(x["x0_px"] < 160 < x["x1_px"] for x in rows)
