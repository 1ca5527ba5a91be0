import json
import os
import pathlib
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

from facerep_jax import cli, errors, make_tracks
from facerep_jax.data import benchmark_set, dataset, sources


@pytest.fixture
def frames(tmp_path):
  """Folder PERSON/VIDEO/TRACK of 4 people with 3 frames each, 32 px."""
  rng = np.random.default_rng(0)
  for person in range(4):
    for i in range(3):
      path = tmp_path / "in" / f"p{person}" / "v" / "t" / f"{i}.png"
      path.parent.mkdir(parents=True, exist_ok=True)
      pixels = rng.integers(0, 256, (32, 32, 3), np.uint8)
      Image.fromarray(pixels).save(path)
  return str(tmp_path / "in")


def run(capsys, *arguments):
  """Returns exit code, standard output and standard error."""
  old, sys.argv = sys.argv, ["make_tracks", *map(str, arguments)]
  try:
    code = cli.run(make_tracks.main)
  finally:
    sys.argv = old
  return code, *capsys.readouterr()


def test_command_makes_a_dataset_and_says_where(frames, tmp_path, capsys):
  out = tmp_path / "out"
  code, said, _ = run(
    capsys, f"--source={frames}", f"--output={out}", "--size=32", "--workers=1"
  )
  assert code == 0
  assert f"{out}: finished" in said
  assert said.startswith(f"{frames}: 4 people in 4 tracks; PERSON/VIDEO/TRACK")
  assert "train: 2 people, 2 tracks, 6 frames" in said
  assert (out / "manifest.json").exists()


def test_enlarged_frames_are_mentioned(frames, tmp_path, capsys):
  _, said, _ = run(
    capsys, f"--source={frames}", f"--output={tmp_path}/o", "--workers=1"
  )
  assert "12 frames were smaller than --size=256 and were enlarged" in said


def test_what_is_passed_over_is_printed_and_kept(frames, tmp_path, capsys):
  folder = pathlib.Path(frames) / "p0" / "v" / "t"
  for name in ("a.psd", "b.PSD", ".hidden.png"):
    (folder / name).write_bytes(b"x")
  first, second = (Image.new("RGB", (32, 32), x) for x in ("red", "blue"))
  first.save(folder / "9.gif", save_all=True, append_images=[second])
  arguments = (f"--output={tmp_path}/o", "--size=32", "--workers=1")
  code, said, _ = run(capsys, f"--source={frames}", *arguments)
  assert code == 0
  assert "\n  passed over: 2 x .psd, 1 x hidden file\n" in said
  assert "\n  notes: 1 x animation or several pages: the first" in said
  with open(tmp_path / "o" / "manifest.json") as file:
    [total] = json.load(file)["sources"].values()
  assert total["passed_over"] == {".psd": 2, "hidden file": 1}
  assert list(total["notes"].values()) == [1]
  assert total["num_stored"] == 13
  # What came since is told, though nothing is to be done.
  (folder / "c.psd").write_bytes(b"x")
  _, said, _ = run(capsys, f"--source={frames}", *arguments)
  assert "\n  passed over: 3 x .psd, 1 x hidden file\n" in said


def test_sources_and_layouts_pair_up(frames, tmp_path, capsys):
  flat = tmp_path / "flat, or not"
  flat.mkdir()
  Image.new("RGB", (32, 32)).save(flat / "one.png")
  code, _, _ = run(
    capsys,
    f"--source={frames},synthetic",
    f"--source={flat}",  # The comma is part of its name.
    "--layout=frames",
    "--layout=synthetic",
    "--layout=flat",
    "--num-people=1",
    "--tracks-per-person=1",
    "--num-frames=2",
    f"--output={tmp_path}/o",
    "--size=32",
    "--workers=1",
  )
  assert code == 0
  with open(tmp_path / "o" / "manifest.json") as file:
    kinds = [x["kind"] for x in json.load(file)["sources"].values()]
  assert kinds == ["frames", "synthetic", "flat"]


def test_times_and_assumptions_are_said(frames, tmp_path, capsys):
  _, said, _ = run(
    capsys, f"--source={frames}", f"--output={tmp_path}/o", "--workers=1"
  )
  assert "frames a second" not in said
  manifest = json.loads((tmp_path / "o" / "manifest.json").read_text())
  total = manifest["sources"][frames]
  total |= {"source_fps": [25.0, 29.97], "longest_step_s": 0.64}
  total["notes"] = {"HDR": 3}
  said = dataset.summary(manifest)
  assert (
    "  videos of 25 to 29.97 frames a second; longest step between frames "
    "0.64 s"
  ) in said
  assert "  notes: 3 x HDR" in said
  del total["notes"]  # As an earlier version left it.
  assert "  notes: 3 x HDR" not in dataset.summary(manifest)


def test_benchmark_is_made_as_it_is_fixed(tmp_path, capsys, monkeypatch):
  # Small, but split, seeded and named as always.
  monkeypatch.setattr(benchmark_set, "NUM_PEOPLE", 10)
  monkeypatch.setattr(benchmark_set, "NUM_FRAMES", 2)
  monkeypatch.setattr(benchmark_set, "SIZE_PX", 16)
  checked = []
  monkeypatch.setattr(benchmark_set, "check", lambda: checked.append(1))
  code, said, _ = run(
    capsys,
    "--source=synthetic:benchmark",
    "--depth",
    f"--output={tmp_path}/o",
    "--workers=1",
  )
  assert code == 0 and checked == [1]
  assert "train: 6 people, 12 tracks, 24 frames" in said
  assert "test: 3 people" in said
  with open(tmp_path / "o" / "manifest.json") as file:
    manifest = json.load(file)
  assert manifest["settings"]["seed"] == benchmark_set.SEED
  assert "depth_png" in manifest["labels"]


@pytest.mark.parametrize(
  ("options", "message"),
  [
    (["--source=/none/there"], "no such file or folder"),
    (["--size=7"], "--size=7: expected"),
    (["--pose-scale=2"], "--pose-scale=2.0: expected a number from 0 to 1"),
    (["--expressions=17"], "expected 0 (one or two) up to the number of fr"),
    (["--chunk=1"], "--chunk=1: expected"),
    (["--fps=0"], "--fps=0.0: expected"),
    (["--quality=101"], "--quality=101: expected"),
    (["--split=1/2"], "--split=1/2: expected three"),
    (["--split=0/50/50"], "the first above 0"),
    (
      ["--split=90/90/90"],
      "90/90/90: expected three shares in percent",
    ),
    (["--split=70/10/19"], "add up to 100"),
    (["--seed=-1"], "--seed=-1: expected a whole number from 0"),
    (["--fps=nan"], "--fps=nan: expected a number from 0.01"),
    (["--num-people=0"], "--num-people=0: expected"),
    (["--workers=0"], "--workers=0: expected"),
    (["--layout=movies"], "expected one of auto, videos"),
    (["--layout=flat", "--layout=flat"], "2 times for 1 sources"),
    (["--size=large"], "invalid int value"),
    (["--nonsense"], "unrecognized arguments"),
    (["--find-faces", "--detector=none.onnx"], "none.onnx"),
    (["--source=synthetic:nothing"], "expected synthetic, synthetic:benchmark"),
    (["--source=synthetic:ict="], "synthetic:ict=PATH"),
    (["--source=synthetic:ict=/none"], "/none: cannot be read"),
    (["--source=synthetic:benchmark", "--size=64"], "--size: synthetic:bench"),
    (["--source=synthetic:benchmark,synthetic"], "must be the only source"),
    (["--depth"], "--depth: only synthetic tracks have depth"),
  ],
)
def test_bad_options_are_one_line(frames, tmp_path, capsys, options, message):
  if not any(x.startswith("--source") for x in options):
    options = [f"--source={frames}", *options]
  code, _, err = run(capsys, *options, f"--output={tmp_path}/o")
  assert code == 1
  assert err.startswith("error: ")
  assert err.count("\n") == 1
  assert message in err


def test_source_and_output_are_required(capsys):
  code, _, err = run(capsys)
  assert code == 1
  assert "--source, --output" in err


def test_real_command_line(tmp_path):
  root = pathlib.Path(__file__).resolve().parent.parent
  empty = tmp_path / "empty"
  empty.mkdir()
  done = subprocess.run(
    [
      *(sys.executable, "-m", "facerep_jax.make_tracks"),
      *(f"--source={empty}", f"--output={tmp_path}/o"),
    ],
    cwd=root,
    capture_output=True,
    text=True,
    check=False,
  )
  assert done.returncode == 1
  assert done.stderr.startswith(f"error: {empty}: holds no videos")
  assert done.stderr.count("\n") == 1


def test_killed_run_leaves_no_workers_and_can_go_on(tmp_path):
  def command(output):
    return [
      *(sys.executable, "-m", "facerep_jax.make_tracks", "--source=synthetic"),
      *("--num-people=40", "--tracks-per-person=1", "--num-frames=4"),
      *("--size=32", "--workers=2", f"--output={tmp_path / output}"),
    ]

  root = pathlib.Path(__file__).resolve().parent.parent
  options = {"cwd": root, "stderr": subprocess.PIPE}
  process = subprocess.Popen(command("cut"), **options)
  while not list(tmp_path.glob("cut/.parts/*.tfrecord")):
    assert process.poll() is None
    time.sleep(0.02)
  process.kill()
  # Workers hold the pipe, too: it ends with the last of them.
  process.communicate(timeout=20)
  assert process.returncode == -9
  assert not (tmp_path / "cut" / "manifest.json").exists()
  for output in ("cut", "whole"):
    subprocess.run(command(output), check=True, **options)
  files = {path.name for path in (tmp_path / "whole").iterdir()}
  assert files == {path.name for path in (tmp_path / "cut").iterdir()}
  for name in files:
    cut, whole = (tmp_path / x / name for x in ("cut", "whole"))
    assert cut.read_bytes() == whole.read_bytes()


def test_options_reach_the_settings():
  options = make_tracks._parser().parse_args(
    ["--source=a", "--output=b", "--fps=2.5", "--detector=m", "--find-faces"]
  )
  settings = make_tracks._settings(options)
  assert (settings.fps, settings.detector, settings.find_faces) == (
    2.5,
    "m",
    True,
  )
  with pytest.raises(errors.InputError):
    make_tracks._parser().parse_args(["--output=b"])


def test_who_is_who_is_said(tmp_path):
  for name in ("mp4/id00001/v/1.mp4", "mp4/id00001/w/1.mp4", "mp4/id2/v/1.mp4"):
    (tmp_path / name).parent.mkdir(parents=True)
    (tmp_path / name).write_bytes(b"x")
  units = sources.collect([sources.Source(str(tmp_path / "mp4/id00001"))])
  assert dataset.naming(units) == [
    f"{tmp_path}/mp4/id00001: 2 people in 2 clips; PERSON/FILE: a person is "
    "the folder"
  ]
  units = sources.collect([sources.Source(str(tmp_path), person="(id[0-9]+)")])
  assert dataset.naming(units) == [
    f"{tmp_path}: 2 people in 3 clips; named by --person=(id[0-9]+)"
  ]
  total = {"kind": "videos", "people": 5, "units": 3, "num_divided": 2}
  lines = dataset._who_is_who(total)
  assert lines[0] == "  5 people in the tracks of 3 clips"
  assert lines[1].startswith("  2 tracks were ended where another face")
  assert len(dataset._who_is_who(total | {"num_divided": 0})) == 1


def test_names_that_are_no_utf8_are_printed_and_kept(tmp_path, capsys):
  odd = os.fsdecode(os.fsencode(tmp_path) + b"/in\xff")
  for i in range(4):
    place = os.path.join(odd, f"p{i}" + os.fsdecode(b"\xfe"), "v", "t")
    os.makedirs(place)
    for name in ("1.png", "2.png"):
      Image.new("RGB", (32, 32)).save(os.path.join(place, name))
  code, said, _ = run(
    capsys,
    f"--source={odd}",
    f"--output={odd}-out",
    f"--sheet={odd}.png",
    "--size=32",
    "--workers=1",
  )
  assert code == 0
  assert f"{tmp_path}/in\\udcff-out: finished" in said
  assert os.path.getsize(f"{odd}.png") > 0
  with open(os.path.join(f"{odd}-out", "manifest.json")) as file:
    manifest = json.load(file)
  assert list(manifest["sources"]) == [odd]
  people = sorted(x["person"] for x in manifest["videos"])
  assert people == [f"p{i}\\xfe" for i in range(4)]


def test_the_sheet_may_lie_beside_tracks_whose_folder_is_made(
  frames, tmp_path, capsys
):
  code, _, _ = run(
    capsys,
    f"--source={frames}",
    f"--output={tmp_path}/new/tracks",
    f"--sheet={tmp_path}/new/sheet.png",
    "--size=32",
    "--workers=1",
  )
  assert code == 0 and (tmp_path / "new" / "sheet.png").exists()


def test_the_sheet_is_checked_before_the_work(frames, tmp_path, capsys):
  code, _, err = run(
    capsys,
    f"--source={frames}",
    f"--output={tmp_path}/o",
    f"--sheet={tmp_path}/none/sheet.png",
  )
  assert code == 1 and "--sheet=" in err and "does not exist" in err
  assert not (tmp_path / "o").exists()
