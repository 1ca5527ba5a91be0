import json
import sys

import numpy as np
import pytest

from facerep_jax import benchmark, errors
from facerep_jax.benchmarks import face_rates, report

RESULT = {
  "version": "tool 1.2",
  "frames": 10,
  "faces": 20,
  "start_s": 3.0,
  "start_cpu_s": 2.0,
  "seconds": 5.0,
  "cpu_s": 4.0,
}


def test_what_processes_print_is_read():
  said = "faces.parquet: 525 rows, 7 tracks, 7 people; 7 videos, 0 skipped\n"
  assert face_rates.parse(said, is_command=True)["faces"] == 525
  text = f"a line of its own\n{json.dumps(RESULT)}\n"
  assert face_rates.parse(text, is_command=False) == RESULT
  for wrong in ("", "faces: many\n"):
    with pytest.raises(errors.InputError, match="expected a line of results"):
      face_rates.parse(wrong, is_command=True)


_PRINT = """
import pathlib, sys
place = pathlib.Path(sys.argv[1])
first, *others = place.read_text().splitlines()
place.write_text("\\n".join([*others, first]))
print(first)
"""


def made_up(name, place, cpu_s, frames):
  """Work that takes so much CPU time, an entry a turn."""
  lines = [json.dumps(RESULT | {"cpu_s": x, "frames": frames}) for x in cpu_s]
  (place / name).write_text("\n".join(lines))
  command = [sys.executable, "-c", _PRINT, str(place / name)]
  return face_rates._Work(name, "faces", command)


@pytest.fixture
def folder(tmp_path, monkeypatch):
  """A folder with a video, and work of ours that is made up."""
  videos = tmp_path / "videos"
  videos.mkdir()
  (videos / "a.mp4").write_bytes(b"")
  said = "x: 20 rows, 1 tracks; 1 videos, 0 skipped"
  command = [sys.executable, "-c", f"print({said!r})"]
  works = [
    made_up("reading", tmp_path, (1, 1), 10),
    made_up("embed", tmp_path, (2, 4), None),
    face_rates._Work("command", "faces", command, True),
  ]
  monkeypatch.setattr(face_rates, "_ours", lambda *_: works.copy())
  return str(videos)


def measure(folder, **pythons):
  return face_rates.measure(
    folder, detector="cascade", model="m", pythons=pythons, num_turns=2
  )


def test_rows_hold_rates_and_the_ratios_of_each_turn(folder):
  section = measure(folder)
  reading, embed, command = section.rows
  # Ratios of the turns: 1 / 2 and 1 / 4.
  assert reading["cpu"] == pytest.approx(0.375)
  assert reading["cpu_spread"] == pytest.approx(0.25 / 0.375)
  assert embed["cpu"] == 1 and embed["cpu_spread"] == 0
  assert embed["frames"] == 10  # As many as were read.
  assert embed["cpu_ms"] == pytest.approx(300)
  assert (embed["rate"], embed["faces_rate"]) == (2.0, 4.0)
  assert command["faces"] == 20 and command["rate"] is None
  assert command["whole_s"] > 0 and command["whole_cpu_s"] > 0
  lines = report.table(section).splitlines()
  assert len(lines) == 5 and "tool 1.2" in lines[2] and "this" in lines[4]


def test_what_cannot_be_measured_is_one_line(folder, tmp_path):
  with pytest.raises(errors.InputError, match="expected one of face_recog"):
    measure(folder, nothing="python")
  with pytest.raises(errors.InputError, match="mediapipe: .*no_python"):
    measure(folder, mediapipe=str(tmp_path / "no_python"))
  # This environment has no such package, or there is no frame to read.
  with pytest.raises(errors.InputError, match="mediapipe: it failed: "):
    measure(folder, mediapipe=sys.executable)
  empty = tmp_path / "empty"
  empty.mkdir()
  with pytest.raises(errors.InputError, match="holds no video"):
    measure(str(empty))


def test_ours_count_frames_and_faces(tmp_path, monkeypatch):
  cv2 = pytest.importorskip("cv2")
  path = str(tmp_path / "a.avi")
  fourcc = cv2.VideoWriter_fourcc(*"MJPG")
  video = cv2.VideoWriter(path, fourcc, 10, (64, 48))
  for i in range(5):
    video.write(np.full((48, 64, 3), 40 * i, np.uint8))
  video.release()
  box = np.array([[10, 10, 30, 30, 1.0, 1]], np.float32)
  monkeypatch.setattr(
    face_rates.detect, "make_detector", lambda _: lambda _: box
  )
  read = face_rates.OURS["reading"][1](str(tmp_path), None, None)
  assert read() == (5, 0)
  find = face_rates.OURS["finding"][1](str(tmp_path), None, None)
  assert find() == (5, 5)
  assert find(face_rates.video_faces.Choice(stop_s=0.3)) == (3, 3)


@pytest.mark.parametrize(
  "options, text",
  [
    ([], "expected --videos=FOLDER"),
    (["--videos=clips", "--python=mediapipe"], "expected TOOL=PATH"),
    (["--videos=clips", "--turns=0"], "--turns=0: expected 1 or more"),
    (["--videos=clips", "--frames=0"], "--frames=0: expected 1 or more"),
  ],
)
def test_the_command_says_what_is_missing(tmp_path, options, text):
  with pytest.raises(errors.InputError, match=text):
    benchmark.main(["--only=face_tools", *options, f"--output={tmp_path}"])


def test_the_command_hands_its_options_on(tmp_path, monkeypatch):
  asked = []

  def note(folder, **options):
    asked.append((folder, options))
    return report.Section(options["detector"], "", (), [])

  monkeypatch.setattr(face_rates, "measure", note)
  options = ["--videos=clips", "--python=mediapipe=a=b", "--frames=9"]
  options += ["--detectors=cascade,x.onnx", f"--output={tmp_path}"]
  benchmark.main(["--only=face_tools", *options])
  assert [x["detector"] for _, x in asked] == ["cascade", "x.onnx"]
  assert asked[0][0] == "clips" and asked[0][1]["most"] == 9
  assert asked[0][1]["pythons"] == {"mediapipe": "a=b"}
