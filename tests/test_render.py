import sys

import numpy as np
import pygltflib
import pytest
from PIL import Image

from facerep_jax import cli, render
from facerep_jax.data import photos
from facerep_jax.inference import api, pictures, sheets
from tests import made_up_faces, tiny


@pytest.fixture(scope="module")
def first_stage():
  return made_up_faces.representation()


@pytest.fixture(scope="module")
def second_stage(first_stage):
  return made_up_faces.with_neutral(first_stage)


@pytest.fixture(autouse=True)
def short_films(monkeypatch):
  monkeypatch.setattr(sheets, "FILM_PX", 32)
  monkeypatch.setattr(sheets, "FILM_FRAMES", 3)


@pytest.fixture
def folder(tmp_path):
  folder = tmp_path / "photos"
  (folder / "sub").mkdir(parents=True)
  faces = made_up_faces.photos(4)
  for name, image in zip(("a.png", "a.bmp", "sub/a.png", "sub_a.png"), faces):
    Image.fromarray(image).save(folder / name)
  (folder / "bad.jpg").write_bytes(b"no image")
  return folder


def command(monkeypatch, model, folder, **options):
  """Runs the command on a model that is already there."""
  monkeypatch.setattr(api, "load", lambda workdir: model)
  options = {
    "workdir": "run",
    "images": folder,
    "output": folder.parent / "out",
    "crop": "none",
    "batch-size": 3,
  } | options
  arguments = [f"--{name}={value}" for name, value in options.items()]
  monkeypatch.setattr("sys.argv", ["render", *arguments])
  return cli.run(render.main)


def written(folder):
  out = folder.parent / "out"
  return sorted(
    p.relative_to(out).as_posix()
    for p in out.rglob("*")
    if p.is_file() and p.name != ".written.jsonl"
  )


def test_draws_all_that_the_run_can_do(
  first_stage, folder, monkeypatch, capsys
):
  assert command(monkeypatch, first_stage, folder, what="") == 0
  names = ("a.bmp", "a.png", "sub/a.png", "sub_a.png")
  want = [
    f"{kind}-00{page}.png"
    for kind in ("views", "frontal", "relight", "maps")
    for page in (1, 2)
  ]
  want += [f"{kind}/{x}.gif" for kind in ("turn", "light") for x in names]
  want += [f"mesh/{x}.glb" for x in names]
  assert written(folder) == sorted(want)
  lines = capsys.readouterr()
  assert "4 images, 1 skipped; 8 sheets, 8 films, 4 meshes" in lines.out
  assert "bad.jpg" in lines.err and "neutral: left out" in lines.err
  # Two pictures of a page of three photos, one of which is none.
  out = folder.parent / "out"
  with Image.open(out / "frontal-001.png") as sheet:
    assert sheet.size == (4 * 130, 14 + 2 * 144)
  with Image.open(out / "turn" / "a.png.gif") as film:
    assert film.n_frames == 3 and film.size == (32, 32)
  # Each face has its own mesh.
  blobs = [
    pygltflib.GLTF2().load(str(out / "mesh" / f"{x}.glb")).binary_blob()
    for x in names
  ]
  assert len(set(blobs)) == 4


def test_draws_what_is_asked_for(second_stage, folder, monkeypatch):
  rc = command(
    monkeypatch,
    second_stage,
    folder,
    what="transfer,neutral,mesh",
    mesh="obj",
    transfer=2,
  )
  assert rc == 0
  names = ("a.bmp", "a.png", "sub/a.png", "sub_a.png")
  want = ["neutral-001.png", "neutral-002.png", "transfer-001.png"]
  for name in names:
    want += [f"mesh/{name}/face.{x}" for x in ("mtl", "obj", "png")]
  assert written(folder) == sorted(want)
  with Image.open(folder.parent / "out" / "transfer-001.png") as sheet:
    assert sheet.size == (3 * 130, 14 + 3 * 144)


def test_texture_of_meshes(first_stage, folder, monkeypatch):
  face = photos.read(folder, ["a.png"], photos.make_cutter("none"), 1)
  maps = first_stage.maps(next(face).images, batch_size=3)
  for kind in ("albedo", "canonical"):
    options = {"what": "mesh", "mesh": "obj", "texture": kind}
    assert command(monkeypatch, first_stage, folder, **options) == 0
    path = folder.parent / "out" / "mesh" / "a.png" / "face.png"
    with Image.open(path) as texture:
      got = np.asarray(texture.convert("RGB")) / 255
    # Rounded to 8 bits.
    np.testing.assert_allclose(got, maps[kind][0], atol=0.5 / 255 + 1e-5)


def test_draws_with_a_model_of_a_file(first_stage, folder, monkeypatch, capsys):
  file = folder.parent / "name.safetensors"
  first_stage.save(file)
  arguments = [
    f"--model={file}",
    f"--images={folder}",
    f"--output={folder.parent / 'out'}",
    *("--crop=none", "--what=maps", "--sweep=none", "--batch-size=8"),
  ]
  monkeypatch.setattr("sys.argv", ["render", *arguments])
  assert cli.run(render.main) == 0
  assert written(folder) == ["maps-001.png"]
  assert "name.safetensors, checkpoint of step 0" in capsys.readouterr().err
  monkeypatch.setattr("sys.argv", ["render", "--workdir=run", *arguments])
  assert cli.run(render.main) == 1
  assert "expected one of --workdir" in capsys.readouterr().err


def test_films_can_be_mp4_or_left_out(first_stage, folder, monkeypatch):
  options = {"what": "relight", "sweep": "none"}
  assert command(monkeypatch, first_stage, folder, **options) == 0
  sheets = ["relight-001.png", "relight-002.png"]
  assert written(folder) == sheets
  options["sweep"] = "mp4"
  assert command(monkeypatch, first_stage, folder, **options) == 0
  assert len([x for x in written(folder) if x.endswith(".mp4")]) == 4


def test_nothing_of_an_earlier_call_is_left(
  first_stage, folder, monkeypatch, capsys
):
  out = folder.parent / "out"
  options = {"what": "frontal,mesh", "mesh": "obj"}
  assert command(monkeypatch, first_stage, folder, **options) == 0
  assert len([x for x in written(folder) if x.startswith("mesh/")]) == 12
  (out / "mesh" / "mine.glb").write_text("mine")
  (out / "frontal-x.png").write_text("mine")
  for path in folder.glob("a.*"):
    path.unlink()
  assert command(monkeypatch, first_stage, folder, what="frontal") == 0
  left = ["frontal-001.png", "frontal-x.png", "mesh/mine.glb"]
  assert written(folder) == left
  assert "14 files of an earlier call deleted" in capsys.readouterr().err
  # What is there stays where nothing can be drawn.
  for path in (folder / "sub_a.png", folder / "sub" / "a.png"):
    path.unlink()
  assert command(monkeypatch, first_stage, folder, what="frontal") == 1
  assert written(folder) == left


def test_missing_libraries_are_named_or_done_without(
  first_stage, folder, monkeypatch, capsys
):
  monkeypatch.setitem(sys.modules, "trimesh", None)
  monkeypatch.setattr(pictures, "KINDS", ("frontal", "mesh"))
  assert command(monkeypatch, first_stage, folder) == 0
  assert "mesh: left out" in capsys.readouterr().err
  assert written(folder) == ["frontal-001.png", "frontal-002.png"]
  assert command(monkeypatch, first_stage, folder, what="mesh") == 1
  assert "facerep_jax[mesh]" in capsys.readouterr().err


@pytest.mark.parametrize(
  ("change", "text"),
  [
    ({"images": "{tmp}/nowhere"}, "no such folder"),
    ({"output": "{tmp}/nowhere/out"}, "expected a folder, or a new name"),
    ({"output": "{tmp}/photos/out"}, "lies in the folder of the images"),
    ({"output": "{tmp}/photos/a.png"}, "expected a folder"),
    ({"what": "nose"}, "expected some of views, frontal"),
    ({"what": "views,neutral"}, "config.stage=diffusion"),
    ({"what": "transfer"}, "config.stage=diffusion"),
    ({"batch-size": "0"}, "--batch-size=0: expected 1+"),
    ({"transfer": "0"}, "--transfer=0: expected 1+"),
    ({"sweep": "avi"}, "invalid choice: 'avi'"),
    ({"images": "{tmp}/bad"}, "not one of 1 images could be drawn"),
  ],
)
def test_what_cannot_be_done_ends_in_one_line(
  first_stage, folder, monkeypatch, capsys, change, text
):
  tmp = folder.parent
  (tmp / "bad").mkdir()
  (tmp / "bad" / "x.png").write_bytes(b"")
  change = {k: v.format(tmp=tmp) for k, v in change.items()}
  assert command(monkeypatch, first_stage, folder, **change) == 1
  last = capsys.readouterr().err.splitlines()[-1]
  assert last.startswith("error: ") and text in last
  assert not (tmp / "out").exists()


def test_other_systems_are_refused(folder, monkeypatch, capsys):
  model = api.untrained(tiny.config(""))
  assert command(monkeypatch, model, folder) == 1
  assert "does not take faces apart" in capsys.readouterr().err
