import gc
import io
import itertools
import os
import shutil
import threading
import time

import numpy as np
import pytest
from PIL import Image

from facerep_jax import errors
from facerep_jax.data import (
  images,
  index,
  schema,
  tfrecord,
  tracks,
  transforms,
)
from tests.data import helpers

SIZE = 16


def source_of(folder, split="train", **options):
  return tracks.TrackSource(folder, split, **options)


def samples_of(source, num_frames=2, **options):
  on_bad = options.pop("on_bad_record", "error")
  return tracks.Samples(
    source,
    tracks.Sampling(num_frames, SIZE, on_bad_record=on_bad, **options),
  )


def colours(sample):
  """The record's number and the frames' numbers, as the pixels tell."""
  frames = sample["frames"]
  flat = frames.reshape(*frames.shape[:-3], -1, 3)
  assert (flat == flat[..., :1, :]).all()
  return flat[..., 0, 0], flat[..., 0, 1]


def take(batches, number):
  return list(itertools.islice(batches, number))


def assert_same(got, want):
  assert got.keys() == want.keys()
  for name, value in got.items():
    np.testing.assert_array_equal(value, want[name], strict=True)


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
  return source_of(folder)


@pytest.fixture
def folder(tmp_path):
  """5 chunks of one each of 5 people, in one shard with its index."""
  folder = tmp_path / "set"
  [path] = helpers.write_dataset(folder, [helpers.track(i) for i in range(5)])
  index.write(path)
  return folder


def damage(folder, number, split="train"):
  """Damages the data of a record of the only shard."""
  [path] = tracks.shard_paths(folder, split)
  offset, length = list(tfrecord.scan(path))[number]
  helpers.flip(path, offset + length // 2)
  return path


# Sampling.


def test_sample_is_a_function_of_seed_and_number(people):
  first = samples_of(people, seed=1, use_mirror=True, colour=0.3)
  again = samples_of(people, seed=1, use_mirror=True, colour=0.3)
  order = np.random.default_rng(0).permutation(40)
  want = {int(i): first[int(i)] for i in order}
  for i in range(40):
    assert_same(again[i], want[i])
  other = samples_of(people, seed=2, use_mirror=True, colour=0.3)
  same = [
    np.array_equal(other[i]["frames"], want[i]["frames"]) for i in range(40)
  ]
  assert np.mean(same) < 0.2


def test_sample_says_its_record(people):
  samples = samples_of(people)
  for i in range(30):
    sample = samples[i]
    red, _ = colours(sample)
    assert sample["record"].dtype == np.int64
    assert (red == sample["record"]).all()


def test_epoch_by_person_has_each_person_once(people):
  samples = samples_of(people, sample_by="person")
  assert samples.epoch_size == 6
  seen, orders = set(), []
  for epoch in range(40):
    records = [int(samples[epoch * 6 + i]["record"]) for i in range(6)]
    names = people.index.person[records].tolist()
    assert sorted(names) == [f"p{i}" for i in range(6)]
    orders.append(tuple(names))
    seen |= set(records)
  # A chunk of p5 is missed in 40 epochs with a chance of (5 / 6)^40 = 0.07 %.
  assert len(seen) == len(people)
  assert len(set(orders)) > 30


def test_video_is_drawn_before_its_chunk(tmp_path):
  # One video of one chunk, another of 9: half of the draws are of each.
  records = [helpers.track(0, person="p", video="a")]
  records += [helpers.track(i, person="p", video="b") for i in range(1, 10)]
  helpers.write_dataset(tmp_path, records)
  samples = samples_of(source_of(tmp_path), sample_by="person")
  draws = [int(samples._draw(i)[0]) for i in range(1000)]
  # Standard deviation 0.016; by chunk it would be 0.1.
  assert np.mean(np.array(draws) == 0) == pytest.approx(0.5, abs=0.06)


def test_epoch_by_chunk_has_each_chunk_once(people):
  samples = samples_of(people, sample_by="chunk")
  size = samples.epoch_size
  assert size == len(people)
  epochs = [
    [int(samples[epoch * size + i]["record"]) for i in range(size)]
    for epoch in range(3)
  ]
  for records in epochs:
    assert sorted(records) == list(range(size))
  assert epochs[0] != epochs[1] != epochs[2]


def test_order_without_shuffling(people):
  samples = samples_of(people, sample_by="chunk", is_shuffled=False)
  got = [int(samples[i]["record"]) for i in range(2 * len(people))]
  assert got == 2 * list(range(len(people)))


@pytest.mark.parametrize("num_frames", [1, 2, 3, 4])
def test_frames_of_a_sample_are_distinct(people, num_frames):
  samples = samples_of(people, num_frames)
  firsts = set()
  for i in range(60):
    _, green = colours(samples[i])
    assert len(set(green.tolist())) == num_frames
    firsts.add(int(green[0]))
  assert firsts == {0, 1, 2, 3}


def test_frames_are_repeated_only_in_shorter_chunks(tmp_path):
  records = [helpers.track(0, 2), helpers.track(1, 3), helpers.track(2, 5)]
  helpers.write_dataset(tmp_path, records)
  samples = samples_of(source_of(tmp_path), 3, sample_by="chunk")
  for i in range(30):
    sample = samples[i]
    _, green = colours(sample)
    assert green.shape == (3,)
    count = len(records[int(sample["record"])].frames)
    assert set(green.tolist()) <= set(range(count))
    if count >= 3:
      assert len(set(green.tolist())) == 3


def test_chunks_of_one_frame_are_left_out(tmp_path):
  records = [helpers.track(i, 1 if i % 2 else 4) for i in range(6)]
  helpers.write_dataset(tmp_path, records)
  source = source_of(tmp_path)
  for sample_by in ("person", "chunk"):
    samples = samples_of(source, sample_by=sample_by)
    assert samples.epoch_size == 3
    assert {int(samples[i]["record"]) for i in range(12)} == {0, 2, 4}
  assert samples_of(source, 1).epoch_size == 6


def test_only_chunks_of_one_frame_are_refused(tmp_path):
  helpers.write_dataset(tmp_path, [helpers.track(0, 1), helpers.track(1, 1)])
  with pytest.raises(errors.InputError, match="every track has a single frame"):
    samples_of(source_of(tmp_path))


@pytest.mark.parametrize(
  ("change", "text"),
  [
    ({"sample_by": "video"}, r"sample_by: expected one of \('person', 'chunk'"),
    ({"on_bad_record": "no"}, "on_bad_record: expected one of"),
    ({"colour": 1.5}, "colour: expected 0 to 1, got 1.5"),
    ({"colour": -0.1}, "colour: expected 0 to 1"),
  ],
)
def test_sampling_refuses(change, text):
  with pytest.raises(errors.InputError, match=f"config.data.{text}"):
    tracks.Sampling(2, SIZE, **change)


# Crops and augmentation.


@pytest.fixture
def squares(monkeypatch):
  """Squares that were cut out, in order."""
  cut, resize = [], transforms.crop_and_resize

  def recorded(image, square, frame_px, size_px):
    cut.append(square)
    return resize(image, square, frame_px, size_px)

  monkeypatch.setattr(transforms, "crop_and_resize", recorded)
  return cut


def test_side_is_drawn_once_an_epoch_and_the_place_for_each_frame(
  people, squares
):
  samples = samples_of(people)
  sides = []
  for epoch in range(150):
    squares.clear()
    for i in range(2):
      samples[epoch * samples.epoch_size + i]
    assert len(set(squares)) > 1
    [side] = {square[2] for square in squares}
    sides.append(side)
    for left, top, _ in squares:
      assert 33 <= left <= 223 - side
      assert 8 <= top <= 198 - side
  # One of 20 sides is missed in 150 draws with a chance of 20 * 0.95^150 = 1 %.
  assert sorted(set(sides)) == list(range(170, 190))


def test_without_jitter_the_crop_is_the_middle(people, squares):
  samples = samples_of(people, is_jittered=False)
  for i in range(5):
    samples[i]
  assert set(squares) == {(43.0, 18.0, 170.0)}


@pytest.fixture
def ramps(tmp_path):
  """One chunk of 4 equal frames that get redder from left to right."""
  pixels = np.zeros((64, 64, 3), np.uint8)
  pixels[..., 0] = 4 * np.arange(64)
  pixels[..., 1] = 40
  buffer = io.BytesIO()
  Image.fromarray(pixels).save(buffer, "PNG")
  track = helpers.track(0)
  track.frames = [buffer.getvalue()] * 4
  helpers.write_dataset(tmp_path, [track])
  return source_of(tmp_path)


def test_half_of_the_samples_are_mirrored_all_frames_alike(ramps):
  samples = samples_of(ramps, use_mirror=True)
  red = np.stack([samples[i]["frames"][..., 0] for i in range(200)])
  falls = red[..., 0].astype(int) > red[..., -1]
  np.testing.assert_array_equal(
    falls, np.broadcast_to(falls[:, :1, :1], falls.shape)
  )
  # Standard deviation 0.035.
  assert falls[:, 0, 0].mean() == pytest.approx(0.5, abs=0.14)
  plain = samples_of(ramps)[0]["frames"].astype(int)
  assert (plain[..., 0, 0] < plain[..., -1, 0]).all()


def test_colour_changes_all_frames_of_a_sample_alike(ramps):
  samples = samples_of(ramps, colour=0.3, is_jittered=False)
  plain = samples_of(ramps, is_jittered=False)[0]["frames"]
  got = [samples[i]["frames"] for i in range(4)]
  for frames in got:
    np.testing.assert_array_equal(frames[0], frames[1])
    assert (frames != plain).any()
  assert (got[0] != got[1]).any()


# Batches.


def test_rows_of_hosts_join_to_the_same_batches(people):
  samples = samples_of(people)
  want = take(tracks.train_batches(samples, batch_size=8), 4)
  for num_hosts in (2, 4):
    parts = [
      take(
        tracks.train_batches(
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
      assert_same(joined, batch)


def test_batches_are_the_samples_in_order(people):
  samples = samples_of(people)
  for number, batch in enumerate(
    take(tracks.train_batches(samples, batch_size=4), 3)
  ):
    assert batch["frames"].shape == (4, 2, SIZE, SIZE, 3)
    assert batch["frames"].dtype == np.uint8
    for row in range(4):
      want = samples[number * 4 + row]
      assert_same({k: v[row] for k, v in batch.items()}, want)


@pytest.mark.parametrize("skipped", [1, 3])
def test_start_is_the_same_as_skipping(people, skipped):
  samples = samples_of(people)
  want = take(tracks.train_batches(samples, batch_size=4), 6)[skipped:]
  got = tracks.train_batches(samples, batch_size=4, start=4 * skipped)
  for a, b in zip(take(got, 6 - skipped), want, strict=True):
    assert_same(a, b)


def test_threads_do_not_change_the_order(people):
  samples = samples_of(people)
  one, four = (
    take(tracks.train_batches(samples, batch_size=8, num_threads=n), 6)
    for n in (1, 4)
  )
  for a, b in zip(one, four, strict=True):
    assert_same(a, b)


def test_hosts_must_divide_the_batch(people):
  with pytest.raises(errors.InputError, match="batch_size=8 does not divide"):
    tracks.train_batches(samples_of(people), batch_size=8, num_hosts=3)


@pytest.mark.parametrize("num_hosts", [1, 2])
@pytest.mark.parametrize("num_samples", [1, 4, 7, 8, 11])
def test_evaluation_counts_every_sample_once(people, num_samples, num_hosts):
  samples = samples_of(people, sample_by="chunk", is_shuffled=False)
  counted = []
  for host in range(num_hosts):
    batches = list(
      tracks.eval_batches(
        samples,
        batch_size=4,
        num_samples=num_samples,
        host=host,
        num_hosts=num_hosts,
      )
    )
    assert len(batches) == -(-num_samples // 4)
    for batch in batches:
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
  samples = samples_of(people)
  for _ in range(5):
    batches = tracks.train_batches(samples, batch_size=4, num_threads=3)
    next(batches)
    assert threading.active_count() > before
    del batches
    passes = tracks.eval_batches(samples, batch_size=4, num_samples=9)
    next(passes)
    del passes
    list(tracks.eval_batches(samples, batch_size=4, num_samples=9))
  assert num_threads() == before


# What cannot be used.


def assert_names(caught, path, number, text):
  assert type(caught.value) is tfrecord.BadRecordError
  message = str(caught.value)
  assert message.startswith(f"{path}: record {number}: ")
  assert text in message
  assert "\n" not in message


def test_bad_record_ends_the_batches_with_its_name(folder):
  source = source_of(folder)
  path = damage(folder, 3)
  batches = tracks.train_batches(
    samples_of(source, sample_by="chunk", is_shuffled=False), batch_size=2
  )
  next(batches)
  with pytest.raises(errors.InputError) as caught:
    next(batches)
  assert_names(caught, path, 3, "checksum")


def test_bad_record_ends_the_evaluation_with_its_name(folder):
  source = source_of(folder)
  path = damage(folder, 3)
  samples = samples_of(source, sample_by="chunk")
  with pytest.raises(errors.InputError) as caught:
    list(tracks.eval_batches(samples, batch_size=2, num_samples=5))
  assert_names(caught, path, 3, "checksum")


def test_skipped_record_is_replaced_by_the_next_sample(folder, caplog):
  whole = samples_of(source_of(folder), sample_by="chunk")
  want = [whole[i] for i in range(26)]
  source = source_of(folder, on_bad_record="skip")
  samples = samples_of(source, sample_by="chunk", on_bad_record="skip")
  path = damage(folder, 3)
  assert source.num_bad == 0
  for i in range(25):
    place = i + 1 if want[i]["record"] == 3 else i
    if want[place]["record"] != 3:
      assert_same(samples[i], want[place])
  assert source.num_bad == 1
  assert caplog.text.count("skipped: ") == 1
  assert f"{path}: record 3: " in caplog.text


def test_hosts_stay_in_step_when_records_are_skipped(folder):
  damage(folder, 1)
  source = source_of(folder, on_bad_record="skip")
  samples = samples_of(source, on_bad_record="skip")
  want = take(tracks.train_batches(samples, batch_size=4), 6)
  for host in range(2):
    part = take(
      tracks.train_batches(samples, batch_size=4, host=host, num_hosts=2), 6
    )
    for got, batch in zip(part, want, strict=True):
      rows = slice(2 * host, 2 * host + 2)
      assert_same(got, {name: x[rows] for name, x in batch.items()})
  assert all((batch["record"] != 1).all() for batch in want)
  assert source.num_bad == 1


def test_record_that_was_bad_before_the_index_is_counted(folder):
  damage(folder, 1)
  [path] = tracks.shard_paths(folder, "train")
  os.unlink(path + index.SUFFIX)
  with pytest.raises(tfrecord.BadRecordError, match="record 1: the checksum"):
    source_of(folder)
  source = source_of(folder, on_bad_record="skip")
  assert (len(source), source.num_bad) == (4, 1)
  samples = samples_of(source, sample_by="chunk", on_bad_record="skip")
  # Messages name the number in the file.
  assert source.name(1) == f"{path}: record 2"
  assert sorted(int(samples[i]["record"]) for i in range(4)) == [0, 1, 2, 3]


def test_no_usable_record_ends_the_run(folder):
  source = source_of(folder, on_bad_record="skip")
  for number in range(5):
    damage(folder, number)
  samples = samples_of(source, on_bad_record="skip")
  with pytest.raises(tfrecord.BadRecordError, match="no usable record is left"):
    samples[0]
  assert source.num_bad == 5


def test_set_without_a_usable_record(tmp_path):
  helpers.write_dataset(tmp_path, [b"?", b"?"])
  with pytest.raises(errors.InputError, match="'train' holds no usable track"):
    source_of(tmp_path, on_bad_record="skip")


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
  source = source_of(tmp_path)
  rule = {"sample_by": "chunk", "is_shuffled": False}
  batches = tracks.train_batches(samples_of(source, **rule), batch_size=2)
  with pytest.raises(errors.InputError) as caught:
    next(batches)
  assert_names(caught, path, 1, f"frame 1: {text}")
  skipping = samples_of(source, **rule, on_bad_record="skip")
  assert skipping[1]["record"] == 0
  assert source.num_bad == 1


def test_frames_that_are_not_picked_are_not_decoded(tmp_path):
  track = helpers.track(0, 3)
  track.frames[2] = b""
  helpers.write_dataset(tmp_path, [track])
  samples = samples_of(source_of(tmp_path), on_bad_record="error")
  results = set()
  for i in range(30):
    try:
      _, green = colours(samples[i])
      results.add(tuple(sorted(green.tolist())))
    except tfrecord.BadRecordError:
      results.add("bad")
  assert results == {(0, 1), "bad"}


# Decoding with simplejpeg.


def jpeg(size=(50, 40), **options):
  rng = np.random.default_rng(0)
  small = rng.integers(0, 256, (9, 9, 3), dtype=np.uint8)
  image = Image.fromarray(small).resize(size, Image.Resampling.BICUBIC)
  mode = options.pop("mode", "RGB")
  buffer = io.BytesIO()
  image.convert(mode).save(buffer, "JPEG", **options)
  return buffer.getvalue()


def turned(**options):
  exif = Image.Exif()
  exif[0x0112] = 6
  return jpeg(exif=exif.tobytes(), **options)


def turned_by_xmp():
  note = b'<x:xmpmeta><rdf tiff:Orientation="6"/></x:xmpmeta>'
  return jpeg(xmp=note)


def outcome(decode, data):
  try:
    return decode(data, "x").tolist()
  except images.ImageError as error:
    return str(error)


def pillow(data, name):
  return images.decode(data, name).pixels


@pytest.mark.parametrize(
  ("data", "is_fast"),
  [
    (jpeg(), True),
    (jpeg(quality=30), True),
    (jpeg(quality=95, subsampling="4:4:4"), True),
    (jpeg(quality=80, subsampling="4:2:2", progressive=True), True),
    (jpeg(size=(16, 16)), True),
    (jpeg(size=(15, 40)), False),
    (jpeg(mode="L"), False),
    (jpeg(mode="CMYK"), False),
    (turned(), False),
    (turned_by_xmp(), False),
    (jpeg()[:-300], False),
    (jpeg()[:100], False),
    (helpers.frame(3, 4, 5), False),
    (b"", False),
  ],
)
def test_simplejpeg_gives_what_pillow_gives(data, is_fast):
  pytest.importorskip("simplejpeg")
  assert (tracks._decode_plain_jpeg(data) is not None) == is_fast
  assert outcome(tracks._decode, data) == outcome(pillow, data)


def test_simplejpeg_gives_what_pillow_gives_of_damaged_files():
  pytest.importorskip("simplejpeg")
  whole = jpeg(size=(20, 20))
  for position in range(0, len(whole), 5):
    data = bytearray(whole)
    data[position] ^= 0x41
    data = bytes(data)
    assert outcome(tracks._decode, data) == outcome(pillow, data), position


def test_oversized_jpeg_is_left_to_pillow(monkeypatch):
  monkeypatch.setattr(images, "MAX_PIXELS", 50 * 40 - 1)
  assert tracks._decode_plain_jpeg(jpeg()) is None
  with pytest.raises(images.ImageError, match="image too large"):
    tracks._decode(jpeg(), "x")


def test_simplejpeg_is_optional(monkeypatch):
  monkeypatch.setattr(tracks, "simplejpeg", None)
  assert tracks._decode_plain_jpeg(jpeg()) is None
  assert outcome(tracks._decode, jpeg()) == outcome(pillow, jpeg())


# Folders.


@pytest.mark.parametrize("lost", [0, 1, 2])
def test_missing_shard(tmp_path, lost):
  records = [helpers.track(i) for i in range(6)]
  paths = helpers.write_dataset(tmp_path, records, num_shards=3)
  assert tracks.shard_paths(tmp_path, "train") == paths
  os.unlink(paths[lost])
  with pytest.raises(errors.InputError, match="is missing") as caught:
    source_of(tmp_path)
  assert paths[lost] in str(caught.value)


def test_shards_of_two_sets(tmp_path):
  records = [helpers.track(i) for i in range(6)]
  helpers.write_dataset(tmp_path, records, num_shards=3)
  helpers.write_dataset(tmp_path, records, num_shards=2)
  with pytest.raises(errors.InputError, match="belong to several data sets"):
    source_of(tmp_path)


def test_folder_without_manifest(folder):
  os.unlink(folder / "manifest.json")
  with pytest.raises(errors.InputError, match="is incomplete") as caught:
    source_of(folder)
  assert "\n" not in str(caught.value)
  with pytest.raises(errors.InputError, match="does not exist"):
    source_of(folder / "other")


def test_unknown_split(folder):
  with pytest.raises(errors.InputError, match="holds no split 'dev'"):
    source_of(folder, "dev")


def test_splits_are_apart(folder):
  helpers.write_dataset(folder, [helpers.track(9)], split="test")
  assert len(source_of(folder)) == 5
  assert source_of(folder, "test").index.person.tolist() == ["p9"]


def test_fingerprint_is_of_the_records_not_of_the_place(folder, tmp_path):
  want = source_of(folder).fingerprint()
  copy = tmp_path / "elsewhere" / "copy"
  shutil.copytree(folder, copy)
  assert source_of(copy).fingerprint() == want
  for path in copy.glob("*.index"):
    path.unlink()
  assert source_of(copy).fingerprint() == want


@pytest.mark.parametrize("change", ["frame", "person", "order", "fewer"])
def test_fingerprint_changes_with_the_records(folder, change):
  want = source_of(folder).fingerprint()
  records = [helpers.track(i) for i in range(5)]
  sizes = [len(schema.serialize(record)) for record in records]
  if change == "frame":
    records[2].frames[1] = helpers.frame(2, 1, blue=1)
  if change == "person":
    records[2].person = "p9"
  if change == "order":
    records[1], records[2] = records[2], records[1]
  if change == "fewer":
    records.pop()
  else:  # Sizes alone would not tell.
    assert [len(schema.serialize(record)) for record in records] == sizes
  other = folder.parent / "other"
  helpers.write_dataset(other, records)
  assert source_of(other).fingerprint() != want
