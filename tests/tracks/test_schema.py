import dataclasses

import numpy as np
import pytest
from tensorflow_datasets.proto import tf_example_pb2

from facerep_jax import errors
from facerep_jax.tracks import schema
from tests.tracks import helpers


def all_labels(count):
  rng = np.random.default_rng(0)
  return {
    name: rng.integers(-9, 9, (count, *shape))
    if dtype == np.int64
    else rng.normal(size=(count, *shape)).astype(np.float32)
    for name, (dtype, shape) in schema.LABELS.items()
  }


def example(**features):
  """Bytes of an Example of these lists."""
  out = tf_example_pb2.Example()
  for name, values in features.items():
    feature = out.features.feature[name]
    if isinstance(values[0], bytes):
      feature.bytes_list.value.extend(values)
    elif isinstance(values[0], int):
      feature.int64_list.value.extend(values)
    else:
      feature.float_list.value.extend(values)
  return out.SerializeToString()


GOOD = {
  "person": [b"p"],
  "video": [b"v"],
  "track": [b"t"],
  "chunk": [3],
  "frames": [b"one", b"two"],
  "frame_index": [5, 9],
}


@pytest.mark.parametrize("count", [1, 3])
def test_round_trip_of_all_labels(count):
  track = schema.Track(
    person="Zoë / 7",
    video="v\n",
    track="",
    chunk=2**40,
    frames=[bytes([t]) * t for t in range(count)],
    frame_index=np.arange(count) * 10**12,
    labels=all_labels(count),
  )
  record = schema.serialize(track)
  assert record == schema.serialize(track)
  got = schema.parse(record)
  for name in ("person", "video", "track", "chunk", "frames"):
    assert getattr(got, name) == getattr(track, name)
  np.testing.assert_array_equal(got.frame_index, track.frame_index)
  assert got.frame_index.dtype == np.int64
  assert got.labels.keys() == schema.LABELS.keys()
  for name, value in got.labels.items():
    assert value.dtype == schema.LABELS[name][0]
    np.testing.assert_array_equal(value, track.labels[name], strict=True)


def test_labels_are_optional():
  labels = {"yaw_rad": np.array([0.5, -0.5], np.float32)}
  record = schema.serialize(helpers.track(0, 2, labels=labels))
  assert schema.parse(record).labels.keys() == {"yaw_rad"}
  assert not schema.parse(schema.serialize(helpers.track(0, 2))).labels


def test_only_wanted_labels_are_decoded():
  record = schema.serialize(helpers.track(0, 2, labels=all_labels(2)))
  wanted = ("light", "detected")
  assert schema.parse(record, wanted).labels.keys() == set(wanted)
  got = schema.parse(record, ())
  assert not got.labels
  assert got.frames == helpers.track(0, 2).frames


@pytest.mark.parametrize(
  ("change", "text"),
  [
    ({"frames": []}, "track p0/v/t: has no frames"),
    ({"frame_index": np.arange(3)}, r"frame_index has shape \(3,\)"),
    ({"labels": {"age": np.zeros(2)}}, "unknown label 'age'; known: detected"),
    ({"labels": {"light": np.zeros((2, 3))}}, r"light has shape \(2, 3\)"),
    ({"labels": {"yaw_rad": np.zeros(1)}}, r"yaw_rad has shape \(1,\)"),
    ({"maps": {"depth_png": [b""]}}, "1 maps 'depth_png', expected 2 each"),
    ({"maps": {"glow": [b"", b""]}}, "2 maps 'glow', expected 2 each of depth"),
    ({"video": "caf\udce9"}, "name of the video is not UTF-8"),
  ],
)
def test_serialize_refuses(change, text):
  track = dataclasses.replace(helpers.track(0, 2), **change)
  with pytest.raises(errors.InputError, match=text) as caught:
    schema.serialize(track)
  message = str(caught.value)
  assert "\n" not in message
  message.encode()  # It can be printed.


def test_parse_reads_a_plain_example():
  track = schema.parse(example(**GOOD, more=[1.5]))
  assert (track.person, track.video, track.track) == ("p", "v", "t")
  assert (track.chunk, track.frames) == (3, [b"one", b"two"])
  np.testing.assert_array_equal(track.frame_index, [5, 9])


@pytest.mark.parametrize(
  ("change", "text"),
  [
    ({"frames": [1, 2]}, "holds no frames"),
    ({"person": [7]}, "lacks one of the features person"),
    ({"person": [b"\xff"]}, "lacks one of the features person"),
    ({"chunk": [1.5]}, "lacks one of the features person"),
    ({"frame_index": [5]}, "frame_index has 1 entries for 2 frames"),
    ({"light": [0.5]}, "label light has 1 numbers for 2 frames"),
    ({"yaw_rad": [1, 2]}, "label yaw_rad has 0 numbers for 2 frames"),
  ],
)
def test_parse_refuses(change, text):
  with pytest.raises(errors.InputError, match=text) as caught:
    schema.parse(example(**GOOD | change))
  assert "\n" not in str(caught.value)


def test_maps_come_back_as_they_were_when_asked_for():
  track = helpers.track(0, 2)
  track.maps = {"mask_png": [b"one", b"two"]}
  record = schema.serialize(track)
  assert schema.parse(record, maps=schema.MAPS).maps == track.maps
  assert schema.parse(record, maps=["depth_png"]).maps == {}
  bad = example(**GOOD, mask_png=[b"one"])
  assert schema.parse(bad).chunk == 3
  with pytest.raises(errors.InputError, match="mask_png has 1 pictures for 2"):
    schema.parse(bad, maps=["mask_png"])


@pytest.mark.parametrize("record", [b"", b"no protobuf", b"\x0a\xff\xff"])
def test_parse_refuses_other_bytes(record):
  with pytest.raises(errors.InputError, match="not a tf|no frames") as caught:
    schema.parse(record)
  assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["frames", "person", "track", "chunk"])
def test_parse_refuses_what_lacks_a_feature(name):
  rest = {key: value for key, value in GOOD.items() if key != name}
  with pytest.raises(errors.InputError, match=f"no frames|lacks.*{name}"):
    schema.parse(example(**rest))


@pytest.mark.parametrize(
  "frames", [[b"a"], [b"\xff" * 200, b"", b"x" * 20_000]]
)
def test_places_of_frames_are_where_they_lie(frames):
  track = helpers.track(3, len(frames), labels=all_labels(len(frames)))
  track.frames = frames
  track.maps = {"depth_png": [b"frames"] * len(frames)}
  record = schema.serialize(track)
  places = schema.frame_places(record)
  assert [record[a : a + n] for a, n in places] == frames


@pytest.mark.parametrize(
  "record",
  [b"", b"\x0a", b"\x08\x01", example(other=[1]), example(frames=[1, 2]) * 2],
)
def test_places_of_other_bytes_are_not_known(record):
  assert schema.frame_places(record) is None
