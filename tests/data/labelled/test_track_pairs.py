import numpy as np
import pytest

from facerep_jax import errors
from facerep_jax.data.labelled import open_set, track_pairs
from tests.tracks import helpers


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
  """24 people with two tracks of three frames, and one with a single track."""
  place = tmp_path_factory.mktemp("pairs")
  records = [
    helpers.track(2 * number + video, 3, f"p{number:02d}", f"v{video}")
    for number in range(24)
    for video in range(2)
  ]
  records.append(helpers.track(60, 3, "alone", "v0"))
  for split in ("train", "test"):
    helpers.write_dataset(place / "set", records, split)
  return str(place / "set")


def test_pairs_are_of_one_person_in_two_tracks_or_of_two_people(folder):
  pairs = track_pairs.load(folder, pairs=400)
  assert len(pairs) == 400 and pairs.same.sum() == 200
  person = pairs.images.group
  track = pairs.images.labels["track"]
  left, right = pairs.left, pairs.right
  np.testing.assert_array_equal(person[left] == person[right], pairs.same)
  assert (track[left] != track[right]).all()
  assert "alone" not in person[np.concatenate([left, right])]
  np.testing.assert_array_equal(pairs.group, person[left])


def test_folds_share_no_person_and_have_as_many_of_both_kinds(folder):
  pairs = track_pairs.load(folder, pairs=400)
  seen = {}
  for fold in range(10):
    chosen = pairs.fold == fold
    assert chosen.sum() == 40 and pairs.same[chosen].sum() == 20
    rows = np.concatenate([pairs.left[chosen], pairs.right[chosen]])
    seen[fold] = set(pairs.images.group[rows])
  assert sum(map(len, seen.values())) == len(set.union(*seen.values()))


def test_pairs_are_the_same_every_time(folder):
  text = f"pairs:{folder}:pairs=40:frames=2"
  first, again = open_set.open_data(text), open_set.open_data(text)
  for name in ("left", "right", "same", "fold"):
    np.testing.assert_array_equal(getattr(first, name), getattr(again, name))
  assert len(first.images) == 2 * 49  # Two frames of each track.


@pytest.mark.parametrize(
  ("options", "text"),
  [
    ({"pairs": 30}, "pairs is 30, expected a multiple of 20"),
    ({"split": "all"}, "split is 'all', expected one of train, test"),
  ],
)
def test_options_that_cannot_be(folder, options, text):
  with pytest.raises(errors.InputError, match=text):
    track_pairs.load(folder, **options)


def test_too_few_people(tmp_path):
  helpers.write_dataset(tmp_path, [helpers.track(i) for i in range(30)], "test")
  with pytest.raises(errors.InputError, match="0 people have two tracks"):
    track_pairs.load(str(tmp_path))
