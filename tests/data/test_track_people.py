"""Faces here are soft random patterns: people differ by their pattern."""

import numpy as np
import pytest

from facerep_jax.data import track_people
from facerep_jax.detection import face_look

cv2 = pytest.importorskip("cv2")

FPS = 6
BOX = (52, 28, 108, 84)


def person(seed, tint=(0, 0, 0)):
  """Returns a picture of a person in a room, float [112, 160, 3]."""
  rng = np.random.default_rng(seed)

  def soft(rows, columns, low, high):
    coarse = rng.uniform(low, high, (rows, columns, 1)).astype(np.float32)
    return cv2.resize(coarse, (160, 112), interpolation=cv2.INTER_CUBIC)

  grey = soft(9, 12, 60, 190)[..., None]
  return np.clip(grey + np.array([30, 0, -20]) + np.array(tint), 0, 255)


def clip(*stills, noise=1.5):
  """Gives stills the small changes of a face that talks."""
  rng = np.random.default_rng(7)
  frames = []
  for still in stills:
    frame = still + rng.normal(0, noise, still.shape)
    frames.append(np.clip(frame, 0, 255).round().astype(np.uint8))
  return frames


def find(frames, boxes=None, cuts=(), fps=FPS):
  """Finds the people of frames; boxes: of each, a list of boxes."""
  looks = face_look.Looks()
  boxes = boxes or [[BOX]] * len(frames)
  faces = [np.array([(*b, 1) for b in x]).reshape(-1, 5) for x in boxes]
  for frame, found in zip(frames, faces):
    looks.add(frame, found)
  times = np.arange(len(frames)) / fps
  is_cropped = np.isin(np.arange(len(frames)), cuts)
  return track_people.find(times, faces, is_cropped, looks)


def spans(found):
  return [(int(x.index[0]), int(x.index[-1])) for x in found.tracks]


def mixed(a, b, length, kind):
  """8 stills of a, `length` on the way to b, 8 of b."""
  way = []
  for share in np.linspace(0, 1, length + 2)[1:-1]:
    if kind == "dissolve":
      way.append((1 - share) * a + share * b)
    elif kind == "wipe":
      still = a.copy()
      column = round(share * a.shape[1])
      still[:, :column] = b[:, :column]
      way.append(still)
    else:
      still = a if share < 0.5 else b
      ground = {"black": 0, "white": 255}[kind]
      way.append(ground + abs(2 * share - 1) * (still - ground))
  return [a] * 8 + way + [b] * 8


@pytest.mark.parametrize("length", [2, 5, 9])
@pytest.mark.parametrize("kind", ["dissolve", "wipe", "black", "white"])
def test_each_transition_ends_the_track(kind, length):
  stills = mixed(person(0), person(1, (0, 40, 40)), length, kind)
  found = find(clip(*stills))
  assert found.num_divided == 1
  assert found.people in ([0, 1], [1, 0])
  (start, end), (again, stop) = spans(found)
  assert (start, stop) == (0, len(stills) - 1)
  # All of each person, and at most the tail of what lies between.
  assert 7 <= end <= 8 + 0.25 * length
  assert 7 + 0.75 * length <= again <= 8 + length


def test_dissolve_between_like_colours_ends_the_track():
  found = find(clip(*mixed(person(0), person(1), 5, "dissolve")))
  assert found.num_divided == 1 and len(set(found.people)) == 2


def test_same_person_behind_a_fade_keeps_the_name():
  stills = mixed(person(0), person(0), 7, "black")
  found = find(clip(*stills))
  assert set(found.people) == {0}


def test_a_person_who_moves_stays_one_track():
  room, face = person(0), person(1)[28:84, 52:108]
  frames, boxes = [], []
  for i in range(24):
    # The face passes over the room, turns by changing its pattern's place.
    x = 4 + 4 * i
    still = room.copy()
    still[28:84, x : x + 56] = np.roll(face, i, axis=1)
    frames += clip(still)
    boxes.append([(x, 28, x + 56, 84)])
  found = find(frames, boxes)
  assert (found.num_divided, spans(found)) == (0, [(0, 23)])


def test_flash_and_change_of_light_are_no_other_person():
  stills = [person(0)] * 16
  stills[7] = person(0) * 0.2 + 200
  stills[11:] = [person(0) * 0.6] * 5
  found = find(clip(*stills))
  assert (found.num_divided, found.people) == (0, [0])


def test_another_face_after_a_gap_ends_the_track():
  a, b = person(0), person(1, (-20, 60, 60))
  frames = clip(*[a] * 8, *[b] * 8)
  boxes = [[BOX]] * 16
  boxes[7] = boxes[8] = []
  found = find(frames, boxes)
  assert (found.num_divided, spans(found)) == (1, [(0, 6), (9, 15)])
  assert len(set(found.people)) == 2
  same = find(clip(*[a] * 16), boxes)
  assert (same.num_divided, spans(same)) == (0, [(0, 15)])


def test_slow_change_is_found_by_the_ends():
  stills = mixed(person(0), person(1, (-20, 60, 60)), 30, "dissolve")
  found = find(clip(*stills))
  assert found.num_divided >= 1
  for track in found.tracks:
    assert not {0, len(stills) - 1} <= set(track.index.tolist())


def test_faces_side_by_side_are_two_people_the_larger_first():
  left, right = (10, 30, 50, 70), (90, 30, 146, 86)
  frames = clip(*[person(0)] * 8)
  found = find(frames, [[left, right]] * 8)
  assert found.people == [1, 0]
  # Even if they look the same.
  twin = person(0)
  twin[30:70, 90:130] = twin[30:70, 10:50]
  twins = [[left, (90, 30, 130, 70)]] * 8
  assert sorted(find(clip(*[twin] * 8), twins).people) == [0, 1]


def test_who_comes_back_after_a_cut_is_known_again():
  a, b = person(0), person(1, (-20, 60, 60))
  stills = [a] * 6 + [b] * 9 + [a] * 6
  found = find(clip(*stills), cuts=(6, 15))
  assert found.num_divided == 0
  assert found.people == [0, 1, 0]


@pytest.mark.parametrize("fps", [4, 15])
def test_other_rates_keep_every_detection(fps):
  found = find(clip(*[person(0)] * 24), fps=fps)
  assert (found.num_divided, spans(found)) == (0, [(0, 23)])
  stills = mixed(person(0), person(1, (0, 40, 40)), 10, "dissolve")
  found = find(clip(*np.repeat(stills, max(1, round(fps / 6)), 0)), fps=fps)
  assert found.num_divided == 1


def test_names():
  assert track_people.name("anna", "anna/1", 0) == "anna"
  assert track_people.name("anna", "anna/1", 1) == "anna/1#2"
