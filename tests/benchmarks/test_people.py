import json

import numpy as np
import pytest

from facerep_jax import errors
from facerep_jax.benchmarks import people, people_clips, people_recordings
from facerep_jax.detection import detect
from facerep_jax.inference import api

FPS = 10.0


def recording(person, count, level, size=(64, 96)):
  """A bright square that stands, on a dark ground."""
  frames = np.full((count, *size, 3), 20, np.uint8)
  frames[:, 16:40, 30:54] = level
  return people_recordings.Recording(person, frames, FPS)


def test_cuts_put_shots_behind_each_other():
  one, two = recording("a", 12, 250), recording("b", 8, 150)
  clip = people_clips.join([one, two, one], "cut")
  assert clip.shots == [("a", 0, 11), ("b", 12, 19), ("a", 20, 31)]
  np.testing.assert_array_equal(
    clip.frames, np.concatenate([one.frames, two.frames, one.frames])
  )


def test_dissolves_mix_half_a_second():
  one, two = recording("a", 12, 240), recording("b", 14, 120)
  clip = people_clips.join([one, two], "dissolve")
  # Five frames are of both.
  assert clip.shots == [("a", 0, 6), ("b", 12, 20)]
  levels = clip.frames[:, 20, 40, 0]
  assert levels[5:14].tolist() == [240, 240, 220, 200, 180, 160, 140, 120, 120]


def test_clips_of_what_is_drawn_and_filmed():
  counts = people_recordings.SHOT_FRAMES
  three = [recording(x, n, 200) for x, n in zip("aba", counts)]
  clip = people_clips.of_drawn(three, "cut")
  assert [x.person for x in clip.shots] == ["a", "b", "a", "a"]
  assert len(clip.frames) == sum(counts)
  filmed = [recording(x, 30, 200) for x in "abc"]
  clips = people_clips.of_filmed(filmed, "cut")
  assert [[x.person for x in one.shots] for one in clips] == [
    ["a", "b", "a"],
    ["b", "c", "b"],
    ["c", "a", "c"],
  ]


def test_ends_are_counted():
  shots = [("a", 0, 9), ("b", 10, 19), ("a", 20, 29), ("a", 30, 39)]
  clip = people_clips.Clip(None, FPS, [people_clips.Shot(*x) for x in shots])
  span = lambda first, last: list(range(first, last + 1))
  right = [span(0, 9), span(10, 19), span(20, 29), span(30, 39)]
  assert people_clips.ends([clip], [right]) == (2, 2, 1, 1, 4, 0, 0)
  # One goes on into another person, one is in two parts, one is missing.
  wrong = [span(0, 14), span(20, 23), span(25, 29)]
  assert people_clips.ends([clip], [wrong]) == (2, 1, 1, 1, 4, 2, 1)
  joined = [span(20, 39)]
  assert people_clips.ends([clip], [joined]).same_ended == 0
  assert people_clips.shot_of(clip, [100]) is None


def test_kept_recordings_are_read_again(tmp_path):
  drawn = [recording("a", 2, 200), recording("b", 3, 90)]
  path = tmp_path / "x.npz"
  assert people_recordings.kept(path, lambda: drawn) is drawn
  again = people_recordings.kept(path, None)
  assert [x.person for x in again] == ["a", "b"]
  np.testing.assert_array_equal(again[1].frames, drawn[1].frames)
  np.savez(path, x=1)
  with pytest.raises(errors.InputError, match="holds no recordings"):
    people_recordings.kept(path, None)


class Model:
  """Tells people by how bright they are."""

  feature_names = ("identity",)

  def embed(self, images, batch_size=None):
    bright = [x[len(x) * 3 // 8 : len(x) // 2].mean() / 255 for x in images]
    angle = np.array(bright)
    return {"identity": np.stack([np.cos(angle), np.sin(angle)], 1)}


def test_parts_of_recordings_are_tracks():
  recordings = [recording("a", 7, 250), recording("b", 7, 100)]
  tracks = people.parts(Model(), recordings, 3)
  assert tracks.person.tolist() == ["a"] * 3 + ["b"] * 3
  section = people.pairs({"x": tracks}, {"identity": [1e-6, 2.0]})
  near, far = section.rows
  assert near["precision"].startswith("1.00") and near["of_one"] == 6
  assert far["joined"] == 15 and far["precision"].startswith("0.40")


def test_clips_are_followed_and_compared(tmp_path, monkeypatch, capsys):
  pytest.importorskip("av")
  pytest.importorskip("cv2")

  def bright(image):
    rows, columns = np.nonzero(image.max(-1) > 90)
    if not len(rows):
      return np.zeros((0, 5), np.float32)
    low, high = (columns.min(), rows.min()), (columns.max(), rows.max())
    return np.array([[*low, *np.add(high, 1), 1]], np.float32)

  monkeypatch.setattr(detect, "make_detector", lambda model=None: bright)
  monkeypatch.setattr(api, "load", lambda name: Model())
  counts = people_recordings.SHOT_FRAMES
  # The ground changes, too: this is a cut.
  other = recording("b", counts[1], 130)
  other.frames[:, :, ::2] //= 2
  other.frames[:, 44:] = 80
  drawn = [
    recording("a", counts[0], 250),
    other,
    recording("a", counts[2], 250),
  ]
  monkeypatch.setattr(
    people_recordings, "draw_shots", lambda num, seed: drawn * num
  )
  monkeypatch.setattr(people_clips, "KINDS", ("cut",))
  arguments = ["--people=0", "--clips=1", f"--output={tmp_path / 'out'}"]
  people.main(arguments)
  assert "synthetic, cuts, within each" in capsys.readouterr().out
  text = (tmp_path / "out" / "benchmark.json").read_text()
  results = json.loads(text)["results"]
  # The last two shots look the same, so that one track goes on.
  [row] = results["ends"]
  del row["set"]
  assert row == people_clips.Ends(2, 2, 1, 0, 4, 1, 0)._asdict()
  for row in results["pairs"]:
    assert (row["rows"], row["people"], row["of_one"]) == (3, 2, 1)
    assert row["precision"].startswith("1.00 "), row
    assert row["recall"].startswith("1.00 "), row


@pytest.mark.parametrize(
  ("option", "text"),
  [
    ("--thresholds=identity", "expected a feature and numbers"),
    ("--thresholds=identity:3", "expected 0 to 2"),
    ("--thresholds=nose:1", "expected one of identity, got 'nose'"),
  ],
)
def test_what_cannot_be_done_is_refused(tmp_path, monkeypatch, option, text):
  monkeypatch.setattr(api, "load", lambda name: Model())
  with pytest.raises(errors.InputError, match=text):
    people.main([option, f"--output={tmp_path}"])
