import json

import numpy as np
import pytest

from facerep_jax.files import images
from facerep_jax.tracks import index, schema, tfrecord
from facerep_jax.training import summary_frames
from tests import tiny


def write(folder, tracks):
  """Writes one split, "test"."""
  folder.mkdir(exist_ok=True)
  path = folder / "tracks-test.tfrecord-00000-of-00001"
  with tfrecord.Writer(path) as writer:
    for track in tracks:
      writer.write(schema.serialize(track))
  index.write(path)
  (folder / "manifest.json").write_text(json.dumps({"format": 1}))
  return str(folder)


def pixels(track, t):
  return images.decode(track.frames[t], "frame").pixels


def test_frames_are_paired_with_their_labels(tmp_path):
  tracks = [tiny.track(p) for p in (9, 10, 11)]
  read = summary_frames.spread(write(tmp_path, tracks), "test")
  want = np.concatenate([track.labels["yaw_rad"] for track in tracks])
  np.testing.assert_allclose(read.yaw_rad, want, rtol=1e-6)
  people = [f"p{p:02d}" for p in (9, 10, 11) for _ in range(6)]
  assert read.person.tolist() == people
  assert read.name[7] == "p10-v0-00000-001"
  np.testing.assert_array_equal(read.images[7], pixels(tracks[1], 1))


def test_frames_without_a_label_are_told_apart(tmp_path):
  tracks = [tiny.track(p) for p in (9, 10)]
  tracks[0].labels = {}
  read = summary_frames.spread(write(tmp_path, tracks), "test")
  assert read.is_labelled.tolist() == [False] * 6 + [True] * 6
  labelled = read.labelled()
  assert set(labelled.person) == {"p10"} and len(labelled.images) == 6
  np.testing.assert_array_equal(labelled.images[0], read.images[6])
  np.testing.assert_allclose(labelled.yaw_rad, tracks[1].labels["yaw_rad"])


def test_few_frames_of_few_chunks(tmp_path, monkeypatch):
  monkeypatch.setattr(summary_frames, "_MAX_CHUNKS", 2)
  tracks = [tiny.track(p, num_frames=20) for p in (9, 10, 11)]
  read = summary_frames.spread(write(tmp_path, tracks), "test")
  people, counts = np.unique(read.person, return_counts=True)
  assert people.tolist() == ["p09", "p11"] and counts.tolist() == [8, 8]


def test_recordings_are_of_two_tracks(tmp_path):
  one, two = tiny.track(9), tiny.track(9, recording=1)
  single, chunks = tiny.track(10), [tiny.track(11), tiny.track(11)]
  chunks[1].chunk = 1
  # Records are not in the order of the videos.
  other = tiny.track(12, recording=1), tiny.track(12)
  other[0].video, other[1].video = "v2", "v1"
  folder = write(tmp_path, [one, two, single, *chunks, *other])
  found = summary_frames.recordings(folder, "test")
  assert list(found) == ["p09", "p12"]
  for both, tracks in zip(found.values(), ((one, two), other[::-1])):
    for side, track in zip(both, tracks):
      assert len(side.images) == 4
      np.testing.assert_array_equal(side.images[0], pixels(track, 0))
      np.testing.assert_array_equal(side.images[-1], pixels(track, 5))
      front = int(np.abs(track.labels["yaw_rad"]).argmin())
      np.testing.assert_array_equal(side.frontal, pixels(track, front))


def test_frontal_is_the_middle_one_without_labels_and_counts_pitch(tmp_path):
  tracks = [tiny.track(9), tiny.track(9, recording=1)]
  tracks[0].labels = {}
  pitch = np.ones(6, np.float32)
  last = int(np.abs(tracks[1].labels["yaw_rad"]).argmax())
  pitch[last] = 0
  tracks[1].labels = {"yaw_rad": np.full(6, 0.5, np.float32)}
  tracks[1].labels["pitch_rad"] = pitch
  ((first, second),) = summary_frames.recordings(
    write(tmp_path, tracks), "test"
  ).values()
  np.testing.assert_array_equal(first.frontal, pixels(tracks[0], 3))
  np.testing.assert_array_equal(second.frontal, pixels(tracks[1], last))


def test_people_are_spread_up_to_a_number(tmp_path, monkeypatch):
  monkeypatch.setattr(summary_frames, "_MAX_PEOPLE", 2)
  tracks = [tiny.track(p, recording=i) for p in (9, 10, 11) for i in (0, 1)]
  found = summary_frames.recordings(write(tmp_path, tracks), "test")
  assert list(found) == ["p09", "p11"]


def test_bad_frames_are_an_error_or_left_out(tmp_path):
  tracks = [tiny.track(p, recording=i) for p in (9, 10) for i in (0, 1)]
  tracks[1].frames = [b"no picture"] * 6
  folder = write(tmp_path, tracks)
  for read in (summary_frames.spread, summary_frames.recordings):
    with pytest.raises(images.ImageError):
      read(folder, "test")
  found = summary_frames.recordings(folder, "test", on_bad_record="skip")
  assert list(found) == ["p10"]
  read = summary_frames.spread(folder, "test", on_bad_record="skip")
  assert len(read.images) == 3 * 6
