import gc
import itertools
import threading
import time

import numpy as np
import pytest

from facerep_jax import errors
from facerep_jax.data import batches
from facerep_jax.tracks import tfrecord
from tests.tracks import helpers


def take(stream, number):
  return list(itertools.islice(stream, number))


def test_rows_of_hosts_join_to_the_same_batches(people):
  samples = helpers.samples_of(people)
  want = take(batches.train_batches(samples, batch_size=8), 4)
  for num_hosts in (2, 4):
    parts = [
      take(
        batches.train_batches(
          samples, batch_size=8, host=host, num_hosts=num_hosts
        ),
        4,
      )
      for host in range(num_hosts)
    ]
    for number, batch in enumerate(want):
      joined = {
        name: np.concatenate([part[number][name] for part in parts])
        for name in batch
      }
      helpers.assert_same(joined, batch)


def test_batches_are_the_samples_in_order(people):
  samples = helpers.samples_of(people)
  for number, batch in enumerate(
    take(batches.train_batches(samples, batch_size=4), 3)
  ):
    assert batch["frames"].shape == (4, 2, helpers.SIZE, helpers.SIZE, 3)
    assert batch["frames"].dtype == np.uint8
    for row in range(4):
      want = samples[number * 4 + row]
      helpers.assert_same({k: v[row] for k, v in batch.items()}, want)


@pytest.mark.parametrize("skipped", [1, 3])
def test_start_is_the_same_as_skipping(people, skipped):
  samples = helpers.samples_of(people)
  want = take(batches.train_batches(samples, batch_size=4), 6)[skipped:]
  got = batches.train_batches(samples, batch_size=4, start=4 * skipped)
  for a, b in zip(take(got, 6 - skipped), want, strict=True):
    helpers.assert_same(a, b)


def test_threads_do_not_change_the_order(people):
  samples = helpers.samples_of(people)
  one, four = (
    take(batches.train_batches(samples, batch_size=8, num_threads=n), 6)
    for n in (1, 4)
  )
  for a, b in zip(one, four, strict=True):
    helpers.assert_same(a, b)


def test_hosts_must_divide_the_batch(people):
  with pytest.raises(errors.InputError, match="batch_size=8 does not divide"):
    batches.train_batches(helpers.samples_of(people), batch_size=8, num_hosts=3)


@pytest.mark.parametrize("num_hosts", [1, 2])
@pytest.mark.parametrize("num_samples", [1, 4, 7, 8, 11])
def test_evaluation_counts_every_sample_once(people, num_samples, num_hosts):
  samples = helpers.samples_of(people, sample_by="chunk", is_shuffled=False)
  counted = []
  for host in range(num_hosts):
    passed = list(
      batches.eval_batches(
        samples,
        batch_size=4,
        num_samples=num_samples,
        host=host,
        num_hosts=num_hosts,
      )
    )
    assert len(passed) == -(-num_samples // 4)
    for batch in passed:
      assert batch["frames"].shape[0] == 4 // num_hosts
      assert batch["weight"].dtype == np.float32
      assert set(batch["weight"].tolist()) <= {0.0, 1.0}
      counted += batch["record"][batch["weight"] == 1].tolist()
  assert sorted(counted) == sorted(
    int(samples[i]["record"]) for i in range(num_samples)
  )


def num_threads():
  """Threads left; those that are about to end get a moment."""
  for _ in range(100):
    gc.collect()
    if not any("grain" in t.name for t in threading.enumerate()):
      break
    time.sleep(0.02)
  return threading.active_count()


def test_threads_end_with_their_batches(people):
  before = num_threads()
  samples = helpers.samples_of(people)
  for _ in range(5):
    stream = batches.train_batches(samples, batch_size=4, num_threads=3)
    next(stream)
    assert threading.active_count() > before
    del stream
    passes = batches.eval_batches(samples, batch_size=4, num_samples=9)
    next(passes)
    del passes
    list(batches.eval_batches(samples, batch_size=4, num_samples=9))
  assert num_threads() == before


# What cannot be used.


def assert_names(caught, path, number, text):
  assert type(caught.value) is tfrecord.BadRecordError
  message = str(caught.value)
  assert message.startswith(f"{path}: record {number}: ")
  assert text in message
  assert "\n" not in message


def test_bad_record_ends_the_batches_with_its_name(folder):
  source = helpers.source_of(folder)
  path = helpers.damage(folder, 3)
  stream = batches.train_batches(
    helpers.samples_of(source, sample_by="chunk", is_shuffled=False),
    batch_size=2,
  )
  next(stream)
  with pytest.raises(errors.InputError) as caught:
    next(stream)
  assert_names(caught, path, 3, "checksum")


def test_bad_record_ends_the_evaluation_with_its_name(folder):
  source = helpers.source_of(folder)
  path = helpers.damage(folder, 3)
  samples = helpers.samples_of(source, sample_by="chunk")
  with pytest.raises(errors.InputError) as caught:
    list(batches.eval_batches(samples, batch_size=2, num_samples=5))
  assert_names(caught, path, 3, "checksum")


def test_hosts_stay_in_step_when_records_are_skipped(folder):
  helpers.damage(folder, 1)
  source = helpers.source_of(folder, on_bad_record="skip")
  samples = helpers.samples_of(source, on_bad_record="skip")
  want = take(batches.train_batches(samples, batch_size=4), 6)
  for host in range(2):
    part = take(
      batches.train_batches(samples, batch_size=4, host=host, num_hosts=2), 6
    )
    for got, batch in zip(part, want, strict=True):
      rows = slice(2 * host, 2 * host + 2)
      helpers.assert_same(got, {name: x[rows] for name, x in batch.items()})
  assert all((batch["record"] != 1).all() for batch in want)
  assert source.num_bad == 1


@pytest.mark.parametrize(
  ("image", "text"),
  [
    (b"", "empty file"),
    (helpers.frame(1, size=1), "image too small"),
    (helpers.frame(1)[:300], "damaged image"),
    (b"no image", "not an image"),
  ],
  ids=["empty", "one-pixel", "cut", "text"],
)
def test_image_that_cannot_be_used(tmp_path, image, text):
  bad = helpers.track(1, 2)
  bad.frames[1] = image
  [path] = helpers.write_dataset(tmp_path, [helpers.track(0, 2), bad])
  source = helpers.source_of(tmp_path)
  rule = {"sample_by": "chunk", "is_shuffled": False}
  stream = batches.train_batches(
    helpers.samples_of(source, **rule), batch_size=2
  )
  with pytest.raises(errors.InputError) as caught:
    next(stream)
  assert_names(caught, path, 1, f"frame 1: {text}")
  skipping = helpers.samples_of(source, **rule, on_bad_record="skip")
  assert skipping[1]["record"] == 0
  assert source.num_bad == 1


@pytest.mark.parametrize(("count", "want"), [(1, 2), (7, 7), (200, 16)])
def test_threads_follow_the_cores_of_the_process(count, want, monkeypatch):
  monkeypatch.setattr(
    batches.os, "sched_getaffinity", lambda process: set(range(count))
  )
  assert batches.cores() == want
