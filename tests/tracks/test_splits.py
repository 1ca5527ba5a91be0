import collections

import pytest

from facerep_jax.tracks import splits


def tracks(num_people, per_person=3):
  """Tracks of people; all but every second one begin another video."""
  return [
    (f"p{i}", f"v{j // 2}", str(j))
    for i in range(num_people)
    for j in range(per_person)
  ]


def people_of(split_of):
  out = collections.defaultdict(set)
  for name, split in split_of.items():
    out[split].add(name[0])
  return out


@pytest.mark.parametrize(
  ("total", "want"),
  [(100, (70, 10, 20)), (10, (7, 1, 2)), (4, (2, 1, 1)), (3, (1, 1, 1))],
)
def test_people_are_split_by_the_shares(total, want):
  split_of, by_person = splits.assign(tracks(total), (70, 10, 20), 0)
  people = people_of(split_of)
  assert by_person
  assert tuple(len(people[name]) for name in splits.NAMES) == want
  assert len(set.union(*people.values())) == total
  assert sum(len(x) for x in people.values()) == total  # None in two.


@pytest.mark.parametrize(
  ("people", "per_person", "want"),
  [(2, 5, (7, 1, 2)), (1, 3, (1, 1, 1)), (1, 2, (1, 1, 0)), (1, 1, (1, 0, 0))],
)
def test_few_people_are_split_by_track(people, per_person, want):
  names = tracks(people, per_person)
  split_of, by_person = splits.assign(names, (70, 10, 20), 0)
  assert not by_person
  count = collections.Counter(split_of.values())
  assert tuple(count[name] for name in splits.NAMES) == want


def test_split_depends_on_the_seed_not_on_the_order():
  names = tracks(30)
  first = splits.assign(names, (70, 10, 20), 0)
  assert splits.assign(names[::-1] + names, (70, 10, 20), 0) == first
  assert splits.assign(names, (70, 10, 20), 1) != first


def test_share_of_zero_stays_empty():
  split_of, _ = splits.assign(tracks(20), (80, 20, 0), 0)
  assert set(split_of.values()) == {"train", "validation"}
  split_of, _ = splits.assign(tracks(1, 1), (50, 0, 50), 0)
  assert set(split_of.values()) == {"train"}


def test_people_of_one_group_stay_together():
  names = [(f"{clip}#{i}", clip, str(i)) for clip in "abcdef" for i in range(3)]
  groups = {name[0]: name[1] for name in names}
  for seed in range(5):
    split_of, by_person = splits.assign(names, (70, 10, 20), seed, groups)
    assert by_person
    clips = collections.defaultdict(set)
    for name, split in split_of.items():
      clips[name[1]].add(split)
    assert all(len(found) == 1 for found in clips.values())
  # Who is in no group is a group; groups of one change nothing.
  alone = {name[0]: name[0] for name in names}
  plain = splits.assign(names, (70, 10, 20), 0)
  assert splits.assign(names, (70, 10, 20), 0, alone) == plain
  assert splits.assign(names, (70, 10, 20), 0, {}) == plain


def test_people_of_few_clips_are_split_where_there_are_enough():
  names = [(f"{clip}#{i}", clip, str(i)) for clip in "ab" for i in range(2)]
  groups = {name[0]: name[1] for name in names}
  split_of, by_person = splits.assign(names, (70, 10, 20), 0, groups)
  assert by_person and set(split_of.values()) == set(splits.NAMES)
