import json
import time

import pytest

from facerep_jax.benchmarks.reference import face_tools


@pytest.fixture
def tool(monkeypatch):
  """A tool that finds two faces in a frame, and says so."""
  seen = []

  def find(frame):
    print("found two")
    time.sleep(0.01)
    seen.append(frame)
    return 2

  monkeypatch.setattr(face_tools, "_frames", lambda videos: iter(range(5)))

  def make(videos, limit):
    time.sleep(0.05)
    return face_tools._by_frames("tool 1.2", find, videos, limit)

  monkeypatch.setitem(face_tools.TOOLS, "made up", make)
  return seen


@pytest.mark.parametrize("most, frames", [(100, 5), (3, 3)])
def test_one_line_with_the_start_apart(tool, capsys, most, frames):
  face_tools.main(["made up", str(most), "a.mp4"])
  found = json.loads(capsys.readouterr().out)
  assert tool == [0, 1, *range(frames)]  # Two to warm up, then all again.
  assert (found["frames"], found["faces"]) == (frames, 2 * frames)
  assert found["start_s"] >= 0.07 and found["seconds"] >= 0.01 * frames
  assert found["version"] == "tool 1.2"
  assert min(found["start_cpu_s"], found["cpu_s"]) >= 0
