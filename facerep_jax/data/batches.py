"""Batches of samples, read ahead by threads: the input pipeline.

Hosts take their rows of each global batch, so that the same batches come
whatever the number of hosts.
"""

import os
from collections.abc import Callable, Iterator
from typing import Any

import grain
import numpy as np

from facerep_jax import errors
from facerep_jax.data.samples import Samples

# More wait for Python's lock.
_MOST_THREADS = 16


def cores() -> int:
  """Returns the threads that reading takes: one for each core of this process.

  Where a batch system gives a process a part of the machine's cores, these
  count; there are at least 2 and at most 16.
  """
  if hasattr(os, "sched_getaffinity"):
    count = len(os.sched_getaffinity(0))
  else:
    count = os.cpu_count() or 1
  return min(max(count, 2), _MOST_THREADS)


def train_batches(
  samples: Samples,
  *,
  batch_size: int,
  start: int = 0,
  host: int = 0,
  num_hosts: int = 1,
  num_threads: int = 0,
  prefetch: int = 2,
  num_batches: int | None = None,
  finish: Callable[[dict[str, np.ndarray]], Any] | None = None,
  setting: str = "config.batch_size",
) -> Iterator[dict[str, np.ndarray]]:
  """Reads this host's rows of the global batches.

  Args:
    samples: What to read.
    batch_size: Rows of a global batch.
    start: Sample with which to begin: those consumed before.
    host: Number of this host's block of rows, see `sharding.block_of_rows`.
    num_hosts: Number of hosts; divides `batch_size`.
    num_threads: Threads that read and decode; 0: as many as `cores` says.
    prefetch: Batches that are read ahead.
    num_batches: How many to read; None for no end.
    finish: Applied to each batch by the threads that read, such as what sends
      it to the devices.
    setting: Where the batch size was set, for the message.

  Returns:
    Iterator over batches, or what `finish` makes of them: `frames`
    [batch_size / num_hosts, T, H, W, 3] uint8 and `record`
    [batch_size / num_hosts] int64.

  Raises:
    InputError: `num_hosts` does not divide `batch_size`.
  """
  if batch_size % num_hosts:
    raise errors.InputError(
      f"{setting}={batch_size} does not divide among {num_hosts} hosts. "
      "Choose a multiple."
    )
  rows = batch_size // num_hosts

  def read_batch(number):
    first = start + number * batch_size + host * rows
    return samples.batch(range(first, first + rows))

  total = len(samples) // rows if num_batches is None else num_batches
  # All is done by the threads that read: the consumer only takes what is ready.
  dataset = grain.MapDataset.range(total).map(read_batch)
  if finish is not None:
    dataset = dataset.map(finish)
  read = grain.ReadOptions(
    num_threads=num_threads or cores(), prefetch_buffer_size=prefetch
  )
  return iter(dataset.to_iter_dataset(read))


def eval_batches(
  samples: Samples,
  *,
  batch_size: int,
  num_samples: int,
  host: int = 0,
  num_hosts: int = 1,
  num_threads: int = 0,
) -> Iterator[dict[str, np.ndarray]]:
  """Reads samples 0 to `num_samples` once; the last batch is padded.

  Args:
    samples: What to read.
    batch_size: Rows of a global batch.
    num_samples: How many samples count.
    host: As for `train_batches`.
    num_hosts: Number of hosts; divides `batch_size`.
    num_threads: As for `train_batches`.

  Yields:
    Batches as `train_batches`, with `weight` [rows] float32: 1, and 0 in rows
    that only fill the last batch.
  """
  batches = train_batches(
    samples,
    batch_size=batch_size,
    host=host,
    num_hosts=num_hosts,
    num_threads=num_threads,
    num_batches=-(-num_samples // batch_size),
  )
  rows = batch_size // num_hosts
  for number, batch in enumerate(batches):
    place = number * batch_size + host * rows + np.arange(rows)
    yield batch | {"weight": (place < num_samples).astype(np.float32)}
