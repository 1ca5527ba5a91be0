import io

import numpy as np
import pytest
from PIL import Image

from facerep_jax import errors
from facerep_jax.data import samples as sampling
from facerep_jax.data import transforms, turn_ramp
from facerep_jax.tracks import tfrecord
from tests.tracks import helpers


def colours(sample):
  """The record's number and the frames' numbers, as the pixels tell."""
  frames = sample["frames"]
  flat = frames.reshape(*frames.shape[:-3], -1, 3)
  assert (flat == flat[..., :1, :]).all()
  return flat[..., 0, 0], flat[..., 0, 1]


# Sampling.


def test_sample_is_a_function_of_seed_and_number(people):
  first = helpers.samples_of(people, seed=1, use_mirror=True, colour_jitter=0.3)
  again = helpers.samples_of(people, seed=1, use_mirror=True, colour_jitter=0.3)
  order = np.random.default_rng(0).permutation(40)
  want = {int(i): first[int(i)] for i in order}
  for i in range(40):
    helpers.assert_same(again[i], want[i])
  other = helpers.samples_of(people, seed=2, use_mirror=True, colour_jitter=0.3)
  same = [
    np.array_equal(other[i]["frames"], want[i]["frames"]) for i in range(40)
  ]
  assert np.mean(same) < 0.2


def test_sample_says_its_record(people):
  samples = helpers.samples_of(people)
  for i in range(30):
    sample = samples[i]
    red, _ = colours(sample)
    assert sample["record"].dtype == np.int64
    assert (red == sample["record"]).all()


def test_epoch_by_person_has_each_person_once(people):
  samples = helpers.samples_of(people, sample_by="person")
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
  samples = helpers.samples_of(helpers.source_of(tmp_path), sample_by="person")
  draws = [samples._draw(i, 0)[0][0] for i in range(1000)]
  # Standard deviation 0.016; by chunk it would be 0.1.
  assert np.mean(np.array(draws) == 0) == pytest.approx(0.5, abs=0.06)


def test_epoch_by_chunk_has_each_chunk_once(people):
  samples = helpers.samples_of(people, sample_by="chunk")
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
  samples = helpers.samples_of(people, sample_by="chunk", is_shuffled=False)
  got = [int(samples[i]["record"]) for i in range(2 * len(people))]
  assert got == 2 * list(range(len(people)))


@pytest.mark.parametrize("num_frames", [1, 2, 3, 4])
def test_frames_of_a_sample_are_distinct(people, num_frames):
  samples = helpers.samples_of(people, num_frames)
  firsts = set()
  for i in range(60):
    _, green = colours(samples[i])
    assert len(set(green.tolist())) == num_frames
    firsts.add(int(green[0]))
  assert firsts == {0, 1, 2, 3}


def test_frames_are_repeated_only_in_shorter_chunks(tmp_path):
  records = [helpers.track(0, 2), helpers.track(1, 3), helpers.track(2, 5)]
  helpers.write_dataset(tmp_path, records)
  samples = helpers.samples_of(
    helpers.source_of(tmp_path), 3, sample_by="chunk"
  )
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
  source = helpers.source_of(tmp_path)
  for sample_by in ("person", "chunk"):
    samples = helpers.samples_of(source, sample_by=sample_by)
    assert samples.epoch_size == 3
    assert {int(samples[i]["record"]) for i in range(12)} == {0, 2, 4}
  assert helpers.samples_of(source, 1).epoch_size == 6


def test_chunks_of_fewer_frames_than_asked_for_are_left_out(tmp_path):
  records = [helpers.track(i, frames) for i, frames in enumerate((3, 4, 5))]
  helpers.write_dataset(tmp_path, records)
  source = helpers.source_of(tmp_path)
  samples = helpers.samples_of(source, min_frames=4, sample_by="chunk")
  assert sorted(int(samples[i]["record"]) for i in range(2)) == [1, 2]
  assert samples.epoch_size == 2
  with pytest.raises(errors.InputError, match="no track has 6 frames"):
    helpers.samples_of(source, min_frames=6)


def test_only_chunks_of_one_frame_are_refused(tmp_path):
  helpers.write_dataset(tmp_path, [helpers.track(0, 1), helpers.track(1, 1)])
  with pytest.raises(errors.InputError, match="every track has a single frame"):
    helpers.samples_of(helpers.source_of(tmp_path))


@pytest.mark.parametrize(
  ("change", "text"),
  [
    (
      {"sample_by": "video"},
      r"sample_by: expected one of \('person', 'recordings', 'chunk'",
    ),
    ({"on_bad_record": "no"}, "on_bad_record: expected one of"),
    (
      {"colour_jitter": 1.5},
      "colour_jitter: expected a number from 0 to 1, got 1.5",
    ),
    ({"colour_jitter": -0.1}, "colour_jitter: expected a number from 0 to 1"),
  ],
)
def test_sampling_refuses(change, text):
  with pytest.raises(errors.InputError, match=f"config.data.{text}"):
    sampling.Sampling(2, helpers.SIZE, **change)


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
  samples = helpers.samples_of(people)
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
  samples = helpers.samples_of(people, is_jittered=False)
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
  return helpers.source_of(tmp_path)


def test_half_of_the_samples_are_mirrored_all_frames_alike(ramps):
  samples = helpers.samples_of(ramps, use_mirror=True)
  red = np.stack([samples[i]["frames"][..., 0] for i in range(200)])
  falls = red[..., 0].astype(int) > red[..., -1]
  np.testing.assert_array_equal(
    falls, np.broadcast_to(falls[:, :1, :1], falls.shape)
  )
  # Standard deviation 0.035.
  assert falls[:, 0, 0].mean() == pytest.approx(0.5, abs=0.14)
  plain = helpers.samples_of(ramps)[0]["frames"].astype(int)
  assert (plain[..., 0, 0] < plain[..., -1, 0]).all()


def test_colour_changes_all_frames_of_a_sample_alike(ramps):
  samples = helpers.samples_of(ramps, colour_jitter=0.3, is_jittered=False)
  plain = helpers.samples_of(ramps, is_jittered=False)[0]["frames"]
  got = [samples[i]["frames"] for i in range(4)]
  for frames in got:
    np.testing.assert_array_equal(frames[0], frames[1])
    assert (frames != plain).any()
  assert (got[0] != got[1]).any()


# What cannot be used.


def test_skipped_records_are_replaced_by_any_others(folder, caplog):
  before = helpers.samples_of(helpers.source_of(folder), sample_by="chunk")
  whole = [before[i] for i in range(200)]
  source = helpers.source_of(folder, on_bad_record="skip")
  samples = helpers.samples_of(source, sample_by="chunk", on_bad_record="skip")
  path = helpers.damage(folder, 3)
  assert source.num_bad == 0
  found = [samples[i] for i in range(200)]
  replaced = []
  for i, sample in enumerate(found):
    want = whole[i]
    if want["record"] == 3:
      replaced.append(int(sample["record"]))
      helpers.assert_same(samples[i], sample)  # The same every time.
    else:
      helpers.assert_same(sample, want)
  # Each of the four others comes about as often, not the next sample's alone.
  counts = np.bincount(replaced, minlength=5)
  assert len(replaced) == 40 and counts[3] == 0
  assert np.delete(counts, 3).min() >= 3
  followers = [
    int(found[i + 1]["record"]) for i in range(199) if whole[i]["record"] == 3
  ]
  assert np.mean(np.array(replaced[: len(followers)]) == followers) < 0.6
  assert source.num_bad == 1
  assert caplog.text.count("skipped: ") == 1
  assert f"{path}: record 3: " in caplog.text


def test_no_usable_record_ends_the_run(folder):
  source = helpers.source_of(folder, on_bad_record="skip")
  for number in range(5):
    helpers.damage(folder, number)
  samples = helpers.samples_of(source, on_bad_record="skip")
  with pytest.raises(tfrecord.BadRecordError, match="no usable record is left"):
    samples[0]
  assert source.num_bad == 5


def test_frames_that_are_not_picked_are_not_decoded(tmp_path):
  track = helpers.track(0, 3)
  track.frames[2] = b""
  helpers.write_dataset(tmp_path, [track])
  samples = helpers.samples_of(
    helpers.source_of(tmp_path), on_bad_record="error"
  )
  results = set()
  for i in range(30):
    try:
      _, green = colours(samples[i])
      results.add(tuple(sorted(green.tolist())))
    except tfrecord.BadRecordError:
      results.add("bad")
  assert results == {(0, 1), "bad"}


@pytest.mark.parametrize("sample_by", ["person", "chunk"])
def test_single_frames_are_samples_of_one_frame(tmp_path, sample_by):
  records = [helpers.track(i, 1) for i in range(4)] + [helpers.track(4, 3)]
  helpers.write_dataset(tmp_path, records)
  source = helpers.source_of(tmp_path)
  samples = helpers.samples_of(source, 1, sample_by=sample_by)
  assert samples.epoch_size == 5
  seen = [samples[i] for i in range(5)]
  assert {x["frames"].shape for x in seen} == {(1, 16, 16, 3)}
  assert sorted(int(x["record"]) for x in seen) == list(range(5))
  for sample in seen:
    number, _ = colours(sample)
    assert (number == sample["record"]).all()
  # Of more frames, what has one alone cannot be a sample.
  assert helpers.samples_of(source, 2, sample_by=sample_by).epoch_size == 1


def test_frames_of_all_recordings_of_a_person(people):
  rule = {"num_frames": 5, "sample_by": "recordings"}
  drawn = helpers.samples_of(people, **rule)
  index = drawn._source.index
  assert drawn.epoch_size == len(set(index.person))
  counts = set()
  for sample in range(2 * drawn.epoch_size):
    records, _, _ = drawn._draw(sample, 0)
    [person] = {index.person[record] for record in records}
    # Each chunk of the person once, up to as many as there are frames.
    known = (index.person == person).sum()
    assert len(set(records)) == len(records) == min(5, known)
    shares = drawn._shares(records)
    assert sum(shares) == 5 and max(shares) - min(shares) <= 1
    found, _ = colours(drawn[sample])
    want = np.repeat(records, shares)
    np.testing.assert_array_equal(found, found[0] + want - want[0])
    counts.add(len(records))
  assert max(counts) > 1


def test_recordings_know_no_ramp():
  with pytest.raises(errors.InputError, match="knows no config.data.turn_ramp"):
    sampling.Sampling(
      num_frames=2,
      size_px=32,
      sample_by="recordings",
      ramp=turn_ramp.TurnRamp(first_deg=20.0, end_step=5),
    )


@pytest.mark.parametrize(
  "key", [(0, 1, 0), (7, 1, 123, 4), (2**40, 1, 2), (3, 1, 2**32), (3, 2, 2)]
)
def test_generator_is_that_of_numpy(key):
  got, want = sampling._generator(key), np.random.default_rng(key)
  np.testing.assert_array_equal(got.random(9), want.random(9))


def test_places_of_crops_are_the_numbers_of_one_array():
  crop = transforms.Crop()
  for seed in range(20):
    got, want = np.random.default_rng(seed), np.random.default_rng(seed)
    left, top = want.integers(0, crop.window_px - 180 + 1, 2)
    assert crop.jittered(180, got) == (33.0 + left, 8.0 + top, 180.0)
    assert got.random() == want.random()
