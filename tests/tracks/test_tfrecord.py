import concurrent.futures
import errno
import os
import pickle
import subprocess
import sys

import grain
import numpy as np
import pytest

from facerep_jax import errors
from facerep_jax.tracks import tfrecord
from tests.oracles import crc32c as oracle
from tests.tracks import helpers

RECORDS = [b"", b"a", bytes(range(256)) * 4, b"last"]


@pytest.fixture
def path(tmp_path):
  return helpers.write_shard(tmp_path / "x.tfrecord", RECORDS)


@pytest.fixture
def place(path):
  """Where record 2 starts, its header included."""
  return list(tfrecord.scan(path))[2][0] - tfrecord.HEADER_BYTES


# RFC 3720, appendix B.4, and the usual check value.
@pytest.mark.parametrize(
  ("data", "crc"),
  [
    (b"123456789", 0xE3069283),
    (bytes(32), 0x8A9136AA),
    (b"\xff" * 32, 0x62A8AB43),
    (bytes(range(32)), 0x46DD794E),
  ],
)
def test_checksum_of_known_vectors(data, crc):
  assert oracle.crc32c(data) == crc
  assert tfrecord.masked_crc32c(data) == oracle.masked(data)


def test_checksum_matches_bitwise_oracle():
  rng = np.random.default_rng(0)
  for length in (0, 1, 7, 8, 9, 63, 1000):
    data = rng.bytes(length)
    assert tfrecord.masked_crc32c(data) == oracle.masked(data)


def test_round_trip(path):
  assert list(tfrecord.read_records(path)) == RECORDS
  assert [length for _, length in tfrecord.scan(path)] == [0, 1, 1024, 4]
  overhead = tfrecord.HEADER_BYTES + tfrecord.FOOTER_BYTES
  assert os.path.getsize(path) == sum(map(len, RECORDS)) + 4 * overhead


def test_another_reader_reads_the_file(path):
  assert list(grain.experimental.TFRecordIterDataset(path)) == RECORDS


def test_empty_file(tmp_path):
  path = helpers.write_shard(tmp_path / "empty", [])
  assert os.path.getsize(path) == 0
  assert list(tfrecord.read_records(path)) == []


def test_file_appears_when_it_is_complete(tmp_path):
  path = tmp_path / "x"
  with tfrecord.Writer(path) as writer:
    writer.write(b"abc")
    assert not path.exists()
  assert os.listdir(tmp_path) == ["x"]


@pytest.mark.parametrize("kind", [RuntimeError, KeyboardInterrupt])
def test_writer_that_fails_leaves_nothing(tmp_path, kind):
  with pytest.raises(kind), tfrecord.Writer(tmp_path / "x") as writer:
    writer.write(b"abc")
    raise kind
  assert os.listdir(tmp_path) == []


def test_writer_that_fails_keeps_the_earlier_file(path):
  with pytest.raises(RuntimeError), tfrecord.Writer(path):
    raise RuntimeError
  assert list(tfrecord.read_records(path)) == RECORDS


def test_writer_on_a_full_disk_leaves_nothing(tmp_path, monkeypatch):
  def full(descriptor):
    raise OSError(errno.ENOSPC, "No space left on device")

  monkeypatch.setattr(os, "fsync", full)
  with (
    pytest.raises(OSError, match="No space"),
    tfrecord.Writer(tmp_path / "x") as writer,
  ):
    writer.write(b"abc")
  assert os.listdir(tmp_path) == []


def assert_bad(path, number, text):
  """All records before `number` are read; that one is named in one line."""
  records = tfrecord.read_records(path)
  for want in RECORDS[:number]:
    assert next(records) == want
  with pytest.raises(tfrecord.BadRecordError) as caught:
    next(records)
  message = str(caught.value)
  assert f"{path}: record {number}" in message
  assert text in message
  assert "\n" not in message


# Within the header, at its end, within the data, at its end, in the footer.
@pytest.mark.parametrize("keep", [1, 11, 12, 500, 12 + 1024, 12 + 1024 + 3])
def test_cut_file(path, place, keep):
  os.truncate(path, place + keep)
  assert_bad(path, 2, "cut off")
  with pytest.raises(tfrecord.BadRecordError, match="record 2 is cut off"):
    list(tfrecord.scan(path))


# Length (low and high byte), its checksum, data, its checksum.
@pytest.mark.parametrize("byte", [0, 7, 8, 11, 12, 700, 12 + 1024, 12 + 1027])
def test_flipped_bit(path, place, byte):
  helpers.flip(path, place + byte)
  assert_bad(path, 2, "checksum")


def test_length_beyond_the_file(path, place):
  length = (2**40).to_bytes(8, "little")
  with open(path, "r+b") as file:
    file.seek(place)
    file.write(length + tfrecord.masked_crc32c(length).to_bytes(4, "little"))
  assert_bad(path, 2, "cut off")


def test_file_of_another_kind(tmp_path):
  path = tmp_path / "x"
  path.write_bytes(b"this is a text and no TFRecord file")
  with pytest.raises(tfrecord.BadRecordError, match="no TFRecord file"):
    list(tfrecord.read_records(path))


def test_what_cannot_be_opened_is_named(tmp_path):
  with pytest.raises(errors.InputError, match=r"missing: cannot be read \(No"):
    list(tfrecord.scan(tmp_path / "missing"))
  with pytest.raises(errors.InputError, match="record 3 cannot be read"):
    tfrecord.Reader([tmp_path]).read(0, 3, 0, 5)


def rows(path, file=0):
  return [
    (file, number, offset, length)
    for number, (offset, length) in enumerate(tfrecord.scan(path))
  ]


def test_reader_reads_in_any_order(path, tmp_path):
  other = helpers.write_shard(tmp_path / "other", RECORDS[::-1])
  reader = tfrecord.Reader([path, other])
  for row in rows(other, 1)[::-1] + rows(path)[::-1]:
    want = RECORDS if row[0] == 0 else RECORDS[::-1]
    assert reader.read(*row) == want[row[1]]


@pytest.mark.parametrize("byte", [12, 12 + 1024])
def test_reader_checks_the_data(path, place, byte):
  row = rows(path)[2]
  helpers.flip(path, place + byte)
  with pytest.raises(tfrecord.BadRecordError) as caught:
    tfrecord.Reader([path]).read(*row)
  assert f"{path}: record 2: the checksum" in str(caught.value)


def test_reader_of_a_file_cut_meanwhile(path, place):
  row = rows(path)[2]
  os.truncate(path, place + 500)
  with pytest.raises(tfrecord.BadRecordError, match="record 2 is cut off"):
    tfrecord.Reader([path]).read(*row)


def test_reader_pickles(path):
  reader = tfrecord.Reader([path])
  row = rows(path)[2]
  assert reader.read(*row) == RECORDS[2]
  copy = pickle.loads(pickle.dumps(reader))
  assert copy.paths == [path]
  assert copy.read(*row) == RECORDS[2]


def test_reader_from_several_threads(path):
  reader = tfrecord.Reader([path] * 20)
  jobs = [(i % 20, *row[1:]) for i, row in enumerate(rows(path) * 100)]
  with concurrent.futures.ThreadPoolExecutor(8) as pool:
    got = list(pool.map(lambda job: reader.read(*job), jobs))
  assert got == RECORDS * 100


def num_open():
  return len(os.listdir("/proc/self/fd"))


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="needs /proc")
@pytest.mark.parametrize(("num_files", "kept"), [(8, 8), (513, 0)])
def test_reader_keeps_few_files_open(path, num_files, kept):
  before = num_open()
  reader = tfrecord.Reader([path] * num_files)
  row = rows(path)[2]
  for file in range(num_files):
    assert reader.read(file, *row[1:]) == RECORDS[2]
  assert num_open() == before + kept
  del reader
  assert num_open() == before


def test_reader_says_nothing_at_exit(path):
  code = (
    "import sys; from facerep_jax.tracks import tfrecord\n"
    "path = sys.argv[1]; reader = tfrecord.Reader([path])\n"
    "offset, length = list(tfrecord.scan(path))[2]\n"
    "assert len(reader.read(0, 2, offset, length)) == 1024\n"
  )
  done = subprocess.run(
    [sys.executable, "-c", code, path], capture_output=True, text=True
  )
  assert (done.returncode, done.stderr) == (0, "")
