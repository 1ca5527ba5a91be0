import io

import jax
import numpy as np
import pytest
from PIL import Image

from facerep_jax.benchmarks import data
from facerep_jax.files import images
from tests import tiny

ROW_KEYS = {
  *("stored_px", "size_px", "decoder", "num_threads", "ratio", "num_turns"),
  *("pipeline_frames_per_s", "decode_frames_per_s"),
  *("pipeline_spread", "decode_spread", "resize_on"),
  *("pipeline_cpu_ms", "decode_cpu_ms", "cpu_ratio"),
}


@pytest.fixture(scope="module")
def path(tmp_path_factory):
  return tiny.write_tracks(tmp_path_factory.mktemp("tracks"))


def test_rates_have_a_row_per_set_and_number_of_threads(path):
  config = tiny.config(path)
  section = data.rates(
    [(config, path)] * 2, num_threads=(1, 2), turn_px=200_000, limit_s=0
  )
  assert section.name == "data_rates"
  assert [
    (row["num_threads"], row["resize_on"]) for row in section.rows
  ] == 2 * [
    *((1, "host"), (1, "device")),
    *((2, "host"), (2, "device")),
  ]
  for row in section.rows:
    assert set(row) == ROW_KEYS
    assert (row["stored_px"], row["size_px"]) == (tiny.SIZE_PX, 32)
    assert row["ratio"] == pytest.approx(
      row["pipeline_frames_per_s"] / row["decode_frames_per_s"]
    )
    assert row["ratio"] > 0
    # Reading, cropping and resizing come on top of decoding.
    if row["resize_on"] == "host":
      assert 0 < row["cpu_ratio"] < 1
  assert {c.key for c in section.columns} <= ROW_KEYS


class Clock:
  now = 0.0

  def perf_counter(self):
    return self.now

  process_time = perf_counter


def test_pipeline_rate_leaves_out_the_first_batches(monkeypatch):
  clock = Clock()
  asked = {}

  def train_batches(samples, **kwargs):
    asked.update(kwargs)
    for i in range(kwargs["num_batches"]):
      clock.now += 0.5 if i >= 3 else 100
      yield {"frames": np.zeros((4, 2, 8, 8, 3), np.uint8)}

  monkeypatch.setattr(data, "time", clock)
  monkeypatch.setattr(data.batches, "train_batches", train_batches)
  samples = [{"frames": np.zeros((2, 8, 8, 3), np.uint8)}]
  # 35 frames are 5 batches of 4 samples of 2 frames.
  cpu_s = []
  turn = data.pipeline_turn(samples, 4, 2, 35, cpu_s)
  assert turn() == pytest.approx(0.5 / 8)
  # The processor's time cannot be told apart: that of all 8 batches.
  assert cpu_s == [pytest.approx((3 * 100 + 5 * 0.5) / 64)]
  assert asked == {"batch_size": 4, "num_threads": 2, "num_batches": 8}


@pytest.mark.parametrize("num_threads", [1, 2, 3])
def test_threads_share_the_decoding(monkeypatch, num_threads):
  parts = []

  def decode(files):
    parts.append(files)
    return len(files)

  monkeypatch.setattr(data, "_decode", decode)
  cpu_s = []
  assert data.decode_turn([b"a", b"b"], num_threads, 10, cpu_s)() > 0
  assert len(cpu_s) == 1
  assert len(parts) == num_threads
  assert max(map(len, parts)) - min(map(len, parts)) <= 1
  assert sorted(f for part in parts for f in part) == [b"a"] * 5 + [b"b"] * 5


@pytest.mark.parametrize("is_installed", [False, True])
def test_decoding_uses_the_library_of_the_pipeline(monkeypatch, is_installed):
  file = images.encode_jpeg(np.full((16, 16, 3), 77, np.uint8), 95)
  read = []

  class Library:
    @staticmethod
    def decode_jpeg(data):
      read.append(data)

  library = Library if is_installed else None
  monkeypatch.setattr(data.decode, "simplejpeg", library)
  opened = []
  real = Image.open
  monkeypatch.setattr(
    data.Image, "open", lambda f: opened.append(f.getvalue()) or real(f)
  )
  assert data._decode([file] * 3) == 3
  assert (len(read), len(opened)) == ((3, 0) if is_installed else (0, 3))
  assert np.asarray(real(io.BytesIO(file))).shape == (16, 16, 3)


def test_waiting_is_read_from_the_loop(path):
  config = tiny.config(path)
  with jax.numpy_dtype_promotion("standard"):
    section = data.waiting(
      config, path, num_steps=6, log_every=2, devices=jax.devices()[:1]
    )
  assert section.name == "data_waiting"
  (row,) = section.rows
  assert {c.key for c in section.columns} == set(row)
  assert (row["num_steps"], row["batch_size"]) == (4, 8)
  assert row["frames_per_s"] == pytest.approx(row["steps_per_s"] * 8 * 2)
  assert 0 < row["data_wait_share"] < 1
  # The caller's config stays as it was.
  assert config == tiny.config(path)


def test_waiting_share_weighs_windows_by_time():
  lines = [
    {"steps_per_second": 1.0, "data_wait_share": 0.5},
    {"steps_per_second": 4.0, "data_wait_share": 0.0},
  ]
  rate, share = data.waiting_share(lines)
  # Of a step each: 1 s and 0.25 s, of which 0.5 s spent waiting.
  assert rate == pytest.approx(2 / 1.25)
  assert share == pytest.approx(0.5 / 1.25)
