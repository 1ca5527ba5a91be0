import pytest

from facerep_jax import errors
from facerep_jax.aot import largest


def search(most, start, step=16):
  """Searches where batches of up to `most` fit; returns size and tries."""
  tried = []

  def measure(size):
    tried.append(size)
    return {"batch_size": size}

  row = largest.search(
    measure, lambda row: row["batch_size"] <= most, start, step
  )
  return row["batch_size"], tried


@pytest.mark.parametrize("most", [16, 47, 160, 1000, 5000])
@pytest.mark.parametrize("start", [1, 32, 160, 4096])
def test_it_is_found_to_an_eighth_in_few_tries(most, start):
  found, tried = search(most, start)
  assert found <= most and all(size % 16 == 0 for size in tried)
  # To a row a device where that is more than an eighth.
  assert most < found + max(2 * found / 8, 2 * 16)
  assert len(set(tried)) == len(tried) <= 13


def test_it_ends_where_all_fits():
  found, tried = search(10**9, 2**18)
  assert found == 2**20 and len(tried) == 3


def test_where_nothing_fits_it_is_told():
  with pytest.raises(errors.InputError, match="not even a batch of 16"):
    search(15, 64)
