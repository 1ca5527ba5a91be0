import json
import struct
import types
import zlib

import jax
import numpy as np
import pytest
from PIL import Image

import facerep_jax
from facerep_jax import cli, embed
from facerep_jax.data import photos as photo_files
from facerep_jax.detection import crop
from facerep_jax.files import colour
from facerep_jax.inference import embedding
from facerep_jax.training import loop, setup
from tests import tiny
from tests.tracks import helpers


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
  folder = tmp_path_factory.mktemp("run")
  config = tiny.config(
    tiny.write_tracks(folder / "tracks"), steps=1, every__eval=1
  )
  with jax.numpy_dtype_promotion("standard"):
    prepared, state = setup.prepare(
      config, folder / "run", config.data.path, jax.devices()[:1]
    )
    loop.train(prepared, state)
  return folder / "run"


def header_only_png(width, height):
  """A PNG whose header says a size that no pixels follow."""

  def chunk(kind, data):
    crc = struct.pack(">I", zlib.crc32(kind + data))
    return struct.pack(">I", len(data)) + kind + data + crc

  head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
  return (
    b"\x89PNG\r\n\x1a\n"
    + chunk(b"IHDR", head)
    + chunk(b"IDAT", zlib.compress(b""))
    + chunk(b"IEND", b"")
  )


@pytest.fixture
def photos(tmp_path):
  folder = tmp_path / "photos"
  (folder / "sub").mkdir(parents=True)
  rng = np.random.default_rng(0)
  for name, size in [("b.png", 40), ("sub/a.JPG", 64), ("sub/c.webp", 50)]:
    pixels = rng.integers(0, 256, (size, size + 3, 3)).astype(np.uint8)
    Image.fromarray(pixels).save(folder / name)
  (folder / "notes.txt").write_text("not an image")
  return folder


def command(monkeypatch, **options):
  arguments = [f"--{name}={value}" for name, value in options.items()]
  monkeypatch.setattr("sys.argv", ["embed", *arguments])
  return cli.run(embed.main)


def test_writes_sorted_paths_codes_and_crops(workdir, photos, monkeypatch):
  output = photos.parent / "codes.npz"
  rc = command(
    monkeypatch, workdir=workdir, images=photos, output=output, crop="none"
  )
  assert rc == 0
  with np.load(output, allow_pickle=False) as found:
    assert found["paths"].tolist() == ["b.png", "sub/a.JPG", "sub/c.webp"]
    assert found["crop"].tolist() == ["none"] * 3
    assert found["embedding"].shape == (3, 8)
    assert found["embedding"].dtype == np.float32
  assert sorted(p.name for p in photos.parent.iterdir()) == [
    "codes.npz",
    "photos",
  ]


def test_paths_crops_and_features_are_of_the_same_image(tmp_path):
  # Image i has the colour i. Even ones show a face, number 3 is passed over.
  paths = [f"{i}.png" for i in range(7)]
  for i, path in enumerate(paths):
    image = Image.new("RGBA", (20, 20), (i, 0, 0, 255))
    if i == 5:  # A hole in a corner is worth a note.
      image.putpixel((19, 19), (0, 0, 0, 0))
    image.save(tmp_path / path)

  def cut(image):
    number = image[0, 0, 0]
    kind = ("face", "whole")[number % 2]
    return crop.Cut(None if number == 3 else image, kind)

  colour = lambda images, batch_size: {
    "code": np.array([image[0, 0, :1] for image in images], np.float32)
  }
  model = types.SimpleNamespace(embed=colour)
  batches = photo_files.read(str(tmp_path), paths, cut, 2)
  found, skipped = embedding.embed_faces(model, batches, len(paths), 2)
  kept = [0, 1, 2, 4, 5, 6]
  assert found["paths"].tolist() == [f"{i}.png" for i in kept]
  assert found["crop"].tolist() == [("face", "whole")[i % 2] for i in kept]
  assert found["code"].ravel().tolist() == kept
  has_note = found[photo_files.NOTES] != ""
  assert has_note.tolist() == [i == 5 for i in kept]
  assert skipped == ["3.png: no face found."]


def test_a_model_does_what_its_run_does(workdir, photos, monkeypatch):
  file = photos.parent / "name.safetensors"
  facerep_jax.load(workdir).save(file)
  found = []
  for options in ({"workdir": workdir}, {"model": file}):
    output = photos.parent / "codes.npz"
    options |= {"images": photos, "output": output, "crop": "none"}
    assert command(monkeypatch, **options) == 0
    with np.load(output) as codes:
      found.append(codes["embedding"])
  # Six layers whose weights are off by up to 2**-11 of themselves.
  atol = 6 * 2**-11 * np.abs(found[0]).max()
  np.testing.assert_allclose(found[1], found[0], rtol=0, atol=atol)


def test_bad_images_are_listed_and_the_rest_is_embedded(
  workdir, photos, monkeypatch, capsys
):
  (photos / "empty.jpg").write_bytes(b"")
  Image.new("RGB", (1, 1)).save(photos / "pixel.png")
  (photos / "huge.png").write_bytes(header_only_png(30_000, 30_000))
  (photos / "cut.jpg").write_bytes((photos / "sub/a.JPG").read_bytes()[:900])
  output = photos.parent / "codes.npz"
  rc = command(
    monkeypatch, workdir=workdir, images=photos, output=output, crop="none"
  )
  assert rc == 0
  lines = capsys.readouterr()
  skipped = [x for x in lines.err.splitlines() if x.startswith("skipped: ")]
  assert len(skipped) == 4
  for name, reason in [
    ("empty.jpg", "empty file"),
    ("pixel.png", "1 x 1 px"),
    ("huge.png", "image too large"),
    ("cut.jpg", "damaged image"),
  ]:
    assert any(name in line and reason in line for line in skipped), name
  assert "4 skipped" in lines.out
  with np.load(output) as found:
    assert found["paths"].tolist() == ["b.png", "sub/a.JPG", "sub/c.webp"]


def test_what_was_assumed_of_pixels_is_said(
  workdir, photos, monkeypatch, capsys
):
  Image.new("RGBA", (40, 40), (9, 9, 9, 0)).save(photos / "clear.png")
  output = photos.parent / "codes.npz"
  assert (
    command(
      monkeypatch, workdir=workdir, images=photos, output=output, crop="none"
    )
    == 0
  )
  assert f"noted: 1 x {colour.TRANSPARENT}\n" in capsys.readouterr().err
  with np.load(output) as found:
    notes = dict(zip(found["paths"].tolist(), found["notes"].tolist()))
  assert notes.pop("clear.png") == colour.TRANSPARENT
  assert set(notes.values()) == {""}


@pytest.fixture(scope="module")
def timed(tmp_path_factory):
  """Tracks of two people: one of video, and one that has no times."""
  folder = tmp_path_factory.mktemp("timed")
  times = np.array([0.0, 0.04, 1.5], np.float32)
  records = [
    helpers.track(1, 3, labels={"time_s": times}),
    helpers.track(2, 2),
  ]
  helpers.write_dataset(folder, records)
  videos = [{"person": "p1", "name": "v", "source_fps": 25.0}]
  manifest = {"splits": {"train": {}}, "videos": videos}
  (folder / "manifest.json").write_text(json.dumps(manifest))
  return folder


def test_tracks_are_embedded_with_the_times_of_their_frames(
  workdir, timed, tmp_path, monkeypatch, capsys
):
  output = tmp_path / "codes.npz"
  options = {"workdir": workdir, "images": timed, "output": output}
  assert command(monkeypatch, **options, **{"batch-size": 2}) == 0
  with np.load(output, allow_pickle=False) as found:
    assert found["paths"].tolist() == [
      *("p1/v/t/0", "p1/v/t/1", "p1/v/t/2", "p2/v/t/0", "p2/v/t/1")
    ]
    np.testing.assert_allclose(
      found["time_s"], [0, 0.04, 1.5, np.nan, np.nan], atol=1e-6
    )
    assert found["frame_index"].tolist() == [0, 1, 2, 0, 1]
    np.testing.assert_array_equal(
      found["source_fps"], [25.0] * 3 + [np.nan] * 2
    )
    assert found["split"].tolist() == ["train"] * 5
    codes = found["embedding"]
  frames = np.stack(
    [np.full((32, 32, 3), (n, t, 0), np.uint8) for n, t in [(1, 2), (2, 1)]]
  )
  want = facerep_jax.load(workdir).embed(frames)["embedding"]
  np.testing.assert_allclose(codes[[2, 4]], want, atol=1e-5)
  assert "5 images (5 none), 0 skipped" in capsys.readouterr().out
  assert command(monkeypatch, **options, crop="face") == 1
  assert "holds face tracks" in capsys.readouterr().err


@pytest.mark.parametrize(
  ("manifest", "text"), [("{", "not a manifest"), ("{}", "names no splits")]
)
def test_a_manifest_that_cannot_be_used_is_one_line(
  workdir, tmp_path, monkeypatch, capsys, manifest, text
):
  (tmp_path / "manifest.json").write_text(manifest)
  options = {"images": tmp_path, "output": tmp_path / "x.npz"}
  assert command(monkeypatch, workdir=workdir, **options) == 1
  last = capsys.readouterr().err.splitlines()[-1]
  assert last.startswith("error: ") and text in last


@pytest.mark.parametrize(
  ("change", "text"),
  [
    ({"images": "{tmp}/nowhere"}, "no such folder"),
    ({"images": "{tmp}/empty"}, "holds no image"),
    ({"images": "{tmp}/bad"}, "not one of 1 images could be embedded"),
    ({"workdir": "{tmp}/empty"}, "has no config.json"),
    ({"output": "{tmp}/nowhere/x.npz"}, "its folder does not exist"),
    ({"crop": "nose"}, "invalid choice: 'nose'"),
    (
      {"model": "nose"},
      "expected one of --workdir=RUN and --model=NAME, got b",
    ),
    ({"workdir": ""}, "expected one of --workdir=RUN and --model=NAME, got n"),
    ({"workdir": "", "model": "nose"}, "nose: neither a model of this inst"),
    ({"workdir": "", "model": "{tmp}"}, "A run is given as --workdir"),
    ({"workdir": "", "model": "{tmp}/bad/x.png"}, "of another kind"),
  ],
)
def test_what_cannot_be_done_ends_in_one_line(
  workdir, photos, tmp_path, monkeypatch, capsys, change, text
):
  (tmp_path / "empty").mkdir()
  (tmp_path / "bad").mkdir()
  (tmp_path / "bad" / "x.png").write_bytes(b"")
  options = {
    "workdir": workdir,
    "images": photos,
    "output": tmp_path / "codes.npz",
    "crop": "none",
  }
  options |= {k: v.format(tmp=tmp_path) for k, v in change.items()}
  assert command(monkeypatch, **options) == 1
  last = capsys.readouterr().err.splitlines()[-1]
  assert last.startswith("error: ") and text in last
  assert not (tmp_path / "codes.npz").exists()
