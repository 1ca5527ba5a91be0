import pytest

from facerep_jax.tracks import chunks


@pytest.mark.parametrize("count", [1, 15, 16, 17, 33, 100])
def test_chunks_cover_a_track_evenly(count):
  bounds = chunks.chunk_bounds(count, 16)
  lengths = [stop - start for start, stop in bounds]
  assert [i for a, b in bounds for i in range(a, b)] == list(range(count))
  assert max(lengths) <= 16
  assert max(lengths) - min(lengths) <= 1
