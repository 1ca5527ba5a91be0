"""Assigns people to training, validation and test."""

from collections.abc import Iterable, Mapping

import numpy as np

NAMES = ("train", "validation", "test")
MIN_PEOPLE = 3  # With fewer, tracks are assigned instead.

TrackName = tuple[str, str, str]  # Person, video, track.


def assign(
  tracks: Iterable[TrackName],
  shares: tuple[float, float, float],
  seed: int,
  groups: Mapping[str, str] | None = None,
) -> tuple[dict[TrackName, str], bool]:
  """Splits tracks so that no person is in two splits.

  Args:
    tracks: Names of all tracks.
    shares: Of people for training, validation, test; any positive scale. A
      split of share 0 stays empty, any other gets one at least, as far as
      there are enough.
    seed: Of the shuffle.
    groups: By person, whom else it may be: people of one group stay together
      where there are `MIN_PEOPLE` groups or more. Others are their own.

  Returns:
    The split of each track, and whether people (not tracks) were assigned.
  """
  tracks = sorted(set(tracks))
  people = {track[0]: track[0] for track in tracks}
  group = {person: (groups or {}).get(person, person) for person in people}
  if len(set(group.values())) < MIN_PEOPLE:
    group = people
  by_person = len(people) >= MIN_PEOPLE
  things = sorted(set(group.values())) if by_person else tracks
  order = np.random.default_rng(seed).permutation(len(things))
  names = np.repeat(NAMES, _counts(len(things), shares))
  split = {things[i]: str(name) for i, name in zip(order, names)}
  return {t: split[group[t[0]] if by_person else t] for t in tracks}, by_person


def _counts(total, shares):
  """Returns how many go to each split."""
  wanted = [i for i, share in enumerate(shares) if share > 0]
  counts = [0, 0, 0]
  for i in wanted[:total]:
    counts[i] = 1
  goal = np.array(shares) / sum(shares) * total
  while sum(counts) < total:
    # To the split that is furthest below its share.
    lack = [goal[i] - counts[i] if i in wanted else -np.inf for i in range(3)]
    counts[int(np.argmax(lack))] += 1
  return counts
