import dataclasses
import hashlib
import io
import pathlib
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from facerep_jax import errors
from facerep_jax.data.labelled import landmark_crop
from facerep_jax.detection import crop
from facerep_jax.synthetic import (
  actions,
  chart,
  frame,
  generator,
  head,
  landmarks,
  rasterise,
  recording,
)
from facerep_jax.tracks import schema

SETTINGS = generator.Settings(num_people=40, num_frames=6, size_px=64)


@pytest.fixture(scope="module")
def tracks():
  return [generator.draw_track(SETTINGS, person, 0) for person in range(12)]


def _digest(settings, person, track):
  record = schema.serialize(generator.make_track(settings, person, track))
  return hashlib.sha256(record).hexdigest()


def test_same_bytes_in_another_process_and_order():
  code = (
    "from tests.synthetic import test_generator as t\n"
    "for p in (3, 1): print(t._digest(t.SETTINGS, p, 1))"
  )
  run = subprocess.run(
    [sys.executable, "-c", code],
    capture_output=True,
    text=True,
    check=True,
    cwd=pathlib.Path(__file__).parents[2],
  )
  here = [_digest(SETTINGS, person, 1) for person in (1, 3)]
  assert run.stdout.split() == here[::-1]


def test_seed_person_and_track_each_change_the_picture():
  other = dataclasses.replace(SETTINGS, seed=1)
  digests = {
    _digest(SETTINGS, 0, 0),
    _digest(SETTINGS, 0, 1),
    _digest(SETTINGS, 1, 0),
    _digest(other, 0, 0),
  }
  assert len(digests) == 4


def test_one_person_looks_the_same_in_both_recordings():
  first, second = (recording.set_up(SETTINGS, 5, track) for track in (0, 1))
  np.testing.assert_array_equal(first.bare, second.bare)
  assert first.look == second.look
  assert not np.array_equal(first.motion.yaw_rad, second.motion.yaw_rad)


def test_track_survives_the_record_format():
  track = generator.make_track(SETTINGS, 12, 1)
  assert (track.person, track.video) == ("synthetic00012", "v0")
  assert (track.track, track.chunk) == ("00001", 0)
  again = schema.parse(schema.serialize(track))
  assert again.frames == track.frames and len(track.frames) == 6
  for name, value in track.labels.items():
    assert value.dtype == schema.LABELS[name][0]
    np.testing.assert_array_equal(again.labels[name], value)
  others = {"detected", "box_px", "frontal", "focal_px", "time_s"}
  assert set(track.labels) == set(schema.LABELS) - others
  with Image.open(io.BytesIO(track.frames[0])) as image:
    assert image.size == (64, 64) and image.format == "JPEG"


def test_jpeg_stays_near_the_raw_picture():
  raw = generator.draw_track(SETTINGS, 2, 0)
  track = generator.make_track(SETTINGS, 2, 0)
  for picture, stored in zip(raw.frames, track.frames):
    decoded = np.asarray(Image.open(io.BytesIO(stored)), float)
    assert np.abs(decoded - picture).mean() < 12  # Of 255, at quality 60.


def test_pose_labels_equal_a_rigid_fit_of_the_posed_landmarks():
  for person in range(6):
    made = recording.set_up(SETTINGS, person, 0)
    labels = generator.draw_track(SETTINGS, person, 0).labels
    for i in range(SETTINGS.num_frames):
      moved = frame.view(SETTINGS, made, i).pose(made.rest_landmarks)
      # Kabsch: the rotation that best carries the resting points onto these.
      a = made.rest_landmarks - made.rest_landmarks.mean(0)
      u, _, vt = np.linalg.svd((moved - moved.mean(0)).T @ a)
      turn = u @ np.diag([1, 1, np.linalg.det(u @ vt)]) @ vt
      # R = Rz Ry Rx read back from its entries.
      got = [
        np.arcsin(-turn[2, 0]),
        np.arctan2(turn[2, 1], turn[2, 2]),
        np.arctan2(turn[1, 0], turn[0, 0]),
      ]
      want = [labels[n][i] for n in ("yaw_rad", "pitch_rad", "roll_rad")]
      np.testing.assert_allclose(got, want, atol=1e-6)  # Float32 labels.


def test_landmarks_are_the_pinhole_projection_of_the_deformed_head():
  made = recording.set_up(SETTINGS, 4, 0)
  drawn = generator.draw_track(SETTINGS, 4, 0)
  paths = made.motion
  skins = head.animate(made.model, made.still, paths.left, paths.right)
  for i, skin in enumerate(skins):
    units = np.stack([paths.right[i], paths.left[i]])
    marks = landmarks.locate(made.model.chart, skin, actions.lid_edges(units))
    sight = frame.view(SETTINGS, made, i)
    posed = (marks - head.NECK_PIVOT) @ sight.turn.T + head.NECK_PIVOT
    z = posed[:, 2] + sight.depth
    fine = posed[:, :2] / z[:, None] * sight.focal + sight.centre
    want = (fine + 0.5) / 2 - 0.5  # Two by two fine pixels make one.
    np.testing.assert_allclose(drawn.labels["landmarks_px"][i], want, atol=1e-4)


def test_landmarks_lie_in_the_middle_of_the_frame(tracks):
  points = np.concatenate([t.labels["landmarks_px"] for t in tracks]) / 64
  assert points.min() > 0 and points.max() < 1
  middle = points.reshape(-1, 2).mean(0)
  np.testing.assert_allclose(middle, [0.5, 0.49], atol=0.05)


def test_frames_are_cut_as_make_tracks_cuts():
  settings = dataclasses.replace(SETTINGS, num_people=60, num_frames=2)
  boxes = []
  for person in range(60):
    labels = generator.draw_labels(settings, person, 0)
    for points, yaw in zip(labels["landmarks_px"], labels["yaw_rad"]):
      if abs(yaw) < 0.25:
        boxes.append(landmark_crop.face_box(points) / settings.size_px)
  x0, y0, x1, y1 = np.median(boxes, axis=0)
  # The box is estimated from the landmarks, whose outline is a little wider
  # here than annotators draw it: the estimate is 0.67 where OpenCV's cascades
  # find 0.62.
  assert x1 - x0 == pytest.approx(1 / crop.SCALE, abs=0.06)
  assert (x0 + x1) / 2 == pytest.approx(0.5, abs=0.02)
  assert (y0 + y1) / 2 == pytest.approx(crop.MIDDLE_Y, abs=0.03)


def test_frontal_points_are_seen_and_far_side_hides_in_profile():
  visible = {"front": [], "near": [], "far": []}
  for person in range(40):
    labels = generator.draw_track(
      dataclasses.replace(SETTINGS, num_frames=3), person, 0
    ).labels
    for yaw, seen in zip(labels["yaw_rad"], labels["landmarks_visible"]):
      if abs(yaw) < 0.15:
        visible["front"].append(seen[17:].mean())
      # Positive yaw turns the nose to the image's left: the person's left
      # half, 11 to 16 of the outline, comes to the front.
      if abs(yaw) > 0.7:
        near, far = (seen[11:16], seen[1:6])[:: 1 if yaw > 0 else -1]
        visible["near"].append(near.mean())
        visible["far"].append(far.mean())
  assert np.mean(visible["front"]) > 0.95
  assert np.mean(visible["near"]) > 0.75
  assert np.mean(visible["far"]) < 0.25


def _facing(person, **units):
  """One frame of a person who looks straight ahead: settings, made, skin."""
  settings = dataclasses.replace(SETTINGS, size_px=256, num_frames=1)
  made = recording.set_up(settings, person, 0)
  on = np.zeros((1, 20))
  for name, value in units.items():
    on[0, actions.INDEX[int(name[2:])]] = value
  rest = {name: np.zeros(1) for name in ("yaw_rad", "pitch_rad", "roll_rad")}
  paths = dataclasses.replace(
    made.motion, **rest, left=on, right=on, gaze=np.zeros((1, 2))
  )
  skin = head.animate(made.model, made.still, on, on)[0]
  sensor = dataclasses.replace(made.sensor, noise=0.0, blur=0.0)
  return (
    settings,
    dataclasses.replace(made, motion=paths, sensor=sensor),
    skin,
  )


def test_landmarks_fall_on_the_chart_points_that_are_drawn_there():
  # Colours are functions of the chart: what is drawn at a landmark's pixel
  # must be the chart point that the landmark stands for.
  for person in range(5):
    settings, made, skin = _facing(person)
    sight = frame.view(settings, made, 0)
    xy, z = sight.project(sight.pose(skin, made.model.follows))
    faces = made.model.chart.faces
    raster = rasterise.rasterise(xy, z, faces, 512, 512)
    values = np.stack([made.model.s, made.model.t], -1).astype(np.float32)
    drawn = np.full((512 * 512, 2), np.nan)
    drawn[raster.pixel] = raster.interpolate(faces, values)
    marks = landmarks.locate(
      made.model.chart, skin, actions.lid_edges(np.zeros((2, 20)))
    )
    column, row = np.rint(sight.project(sight.pose(marks))[0]).astype(int).T
    got = drawn[row * 512 + column][17:]  # The outline lies on the horizon.
    want = np.stack(landmarks.fixed_points(), axis=-1)[17:]
    # Half a pixel is 0.003 units; steep skin, as below the nose, stretches
    # that ten times.
    np.testing.assert_allclose(got, want, atol=0.04)


def test_open_mouth_is_dark_between_the_lips_and_eyes_have_irises():
  for person in range(5):
    settings, made, skin = _facing(person, au26=0.9)
    white = np.full_like(made.texture, 0.6)
    made = dataclasses.replace(made, texture=white)
    image, points, _ = frame.draw(settings, made, skin, 0)
    grey = image.astype(float).mean(-1)

    def at(x, y, grey=grey):
      return grey[round(y) - 1 : round(y) + 2, round(x) - 1 : round(x) + 2]

    x, y = points[[62, 66]].mean(0)
    below = at(x, (points[66, 1] + points[57, 1]) / 2).mean()
    assert at(x, y).mean() < 0.6 * below
    for eye in (points[36:42], points[42:48]):
      x, y = eye.mean(0)
      cheek = at(x, y + 0.09 * 256).mean()
      assert at(x, y).min() < 0.6 * cheek


def test_supersampling_only_smooths_edges():
  plain = dataclasses.replace(SETTINGS, supersample=1)
  fine = generator.draw_track(SETTINGS, 3, 0)
  coarse = generator.draw_track(plain, 3, 0)
  np.testing.assert_allclose(
    coarse.labels["landmarks_px"], fine.labels["landmarks_px"], atol=1e-4
  )
  differ = np.abs(coarse.frames.astype(float) - fine.frames)
  assert 0.1 < differ.mean() < 6  # Of 255; edges and fine texture only.

  def rough(frames):  # Mean step between neighbours that are both sharp.
    return np.abs(np.diff(frames.astype(float), axis=2)).mean()

  assert rough(fine.frames) < rough(coarse.frames)


def test_size_leaves_the_labels_alone():
  large = dataclasses.replace(SETTINGS, size_px=96)
  first = generator.draw_track(SETTINGS, 7, 1).labels
  second = generator.draw_track(large, 7, 1).labels
  for name in first:
    if name == "landmarks_px":
      np.testing.assert_allclose(
        (first[name] + 0.5) / 64, (second[name] + 0.5) / 96, atol=1e-5
      )
    elif name != "landmarks_visible":  # Depends on whole pixels.
      np.testing.assert_array_equal(first[name], second[name])


def test_action_units_are_the_means_of_both_halves(monkeypatch):
  made = recording.set_up(SETTINGS, 4, 0)
  left, right = np.zeros((2, SETTINGS.num_frames, 20))
  smile, brow = actions.INDEX[12], actions.INDEX[1]
  # A smile of the left half alone; brows of both, the right one higher.
  left[:, smile], left[:, brow], right[:, brow] = 0.8, 0.2, 0.6
  motion = dataclasses.replace(made.motion, left=left, right=right)
  made = dataclasses.replace(made, motion=motion)
  monkeypatch.setattr(recording, "set_up", lambda *args: made)
  labels = generator.draw_labels(SETTINGS, 4, 0)
  want = np.zeros((SETTINGS.num_frames, 20))
  want[:, smile], want[:, brow] = 0.4, 0.4
  np.testing.assert_allclose(labels["action_units"], want)
  sides = labels["action_units_sided"]
  np.testing.assert_array_equal(sides, np.stack([left, right], axis=1))


def test_labels_without_pictures_are_those_of_the_pictures():
  for supersample in (1, 2):
    settings = dataclasses.replace(SETTINGS, supersample=supersample)
    quick = generator.draw_labels(settings, 9, 1)
    drawn = generator.draw_track(settings, 9, 1).labels
    assert set(quick) == set(drawn) - {"landmarks_visible"}
    for name, value in quick.items():
      # Stored as float32: 4e-6 of 64 px.
      np.testing.assert_allclose(drawn[name], value, atol=1e-5, err_msg=name)


def test_pictures_are_well_exposed_and_people_differ(tracks):
  means = np.array([t.frames.mean() for t in tracks])
  assert (means > 25).all() and (means < 235).all()
  assert all(t.frames.std() > 15 for t in tracks)
  middle = [t.frames[0, 28:40, 28:40].mean((0, 1)) for t in tracks]
  assert np.std(middle, axis=0).min() > 15  # Skin of many tones.


def test_wrong_numbers_are_refused():
  with pytest.raises(errors.InputError, match="person 40: expected 0 to 39"):
    generator.make_track(SETTINGS, 40, 0)
  with pytest.raises(errors.InputError, match="track 2: expected 0 to 1"):
    generator.make_track(SETTINGS, 0, 2)


def test_lids_and_lips_of_the_chart_meet_at_their_corners():
  ends = np.array([-1, 1]) * chart.MOUTH_S
  np.testing.assert_allclose(chart.slit_height(ends), 0, atol=1e-12)
  corner = np.array([chart.EYE_S + chart.EYE_HALF_S])
  top, bottom = chart.lid_lines(corner, -0.08, 0.05)
  np.testing.assert_allclose(top, bottom, atol=1e-12)


def test_pictures_are_as_bright_and_as_dull_as_photographs_of_faces():
  small = dataclasses.replace(SETTINGS, size_px=32, num_frames=1)
  settings = dataclasses.replace(small, num_people=80)
  faces = np.stack(
    [
      generator.draw_track(settings, p, 0).frames[0, 11:22, 10:22]
      for p in range(80)
    ]
  ).astype(float)
  # Of the middles of LFW's pictures: median level 127, of red minus green 43;
  # and a tenth or more of all pictures in the world are grey.
  level = faces.mean((1, 2, 3))
  assert 100 < np.median(level) < 150
  assert 10 < np.percentile(level, 90) - np.percentile(level, 10) < 110
  red = (faces[..., 0] - faces[..., 1]).mean((1, 2))
  assert 25 < np.median(red) < 60
  assert np.percentile(red, 95) < 90
  grey = np.ptp(faces, axis=-1).max((1, 2)) == 0
  assert 0.05 < grey.mean() < 0.3
