"""Small datasets that several tests of the data read."""

import pytest

from facerep_jax.tracks import index
from tests.tracks import helpers


@pytest.fixture(scope="module")
def people(tmp_path_factory):
  """6 people: p0 with 1 video of 1 chunk, up to p5 with 3 videos of 2."""
  folder = tmp_path_factory.mktemp("people")
  chunks = [
    (f"p{person}", f"v{video}")
    for person in range(6)
    for video in range(1 + person % 3)
    for _ in range(1 + person % 2)
  ]
  records = [
    helpers.track(number, 4, person=person, video=video)
    for number, (person, video) in enumerate(chunks)
  ]
  helpers.write_dataset(folder, records, num_shards=2)
  return helpers.source_of(folder)


@pytest.fixture
def folder(tmp_path):
  """5 chunks of one each of 5 people, in one shard with its index."""
  folder = tmp_path / "set"
  [path] = helpers.write_dataset(folder, [helpers.track(i) for i in range(5)])
  index.write(path)
  return folder
