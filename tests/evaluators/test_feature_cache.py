import os

import numpy as np
import pytest

from facerep_jax import errors
from facerep_jax.evaluators import feature_cache
from facerep_jax.files import places

PIXELS = np.arange(2 * 4 * 4 * 3, dtype=np.uint8).reshape(2, 4, 4, 3)
KIND = {"kind": "made up", "weights": "abc"}


class _Source:
  """Computes two features, and counts how often."""

  def __init__(self):
    self.count = 0

  def __call__(self):
    self.count += 1
    code = np.random.default_rng(0).normal(size=(2, 5)).astype(np.float32)
    return {"code": code, "half": code.astype(np.float16)}


def _get(cache, source, pixels=PIXELS, **more):
  return cache.get(pixels, KIND | more, ("code", "half"), source)


def test_what_is_kept_is_what_was_computed(tmp_path):
  source, cache = _Source(), feature_cache.Cache(tmp_path / "features")
  first, again = _get(cache, source), _get(cache, source)
  assert source.count == 1
  assert list(again) == list(first)
  for name, array in first.items():
    assert again[name].dtype == array.dtype
    np.testing.assert_array_equal(again[name], array)
  # The files are such as NumPy reads.
  files = list((tmp_path / "features").iterdir())
  loaded = [np.load(path, allow_pickle=False) for path in files]
  assert sorted(x.itemsize for x in loaded) == [2, 4]


def test_other_images_and_weights_are_computed(tmp_path):
  source, cache = _Source(), feature_cache.Cache(tmp_path)
  _get(cache, source)
  _get(cache, source, PIXELS + 1)
  _get(cache, source, PIXELS.reshape(1, 8, 4, 3))
  _get(cache, source, weights="abd")
  assert source.count == 4
  _get(cache, source, PIXELS[:, :, ::-1][:, :, ::-1])
  assert source.count == 4


@pytest.mark.parametrize("damage", [b"", b"nonsense", None])
def test_a_damaged_file_is_computed_anew(tmp_path, caplog, damage):
  source, cache = _Source(), feature_cache.Cache(tmp_path)
  want = _get(cache, source)
  for path in tmp_path.iterdir():
    content = bytearray(path.read_bytes())
    content[-40] ^= 1  # Of the numbers.
    path.write_bytes(content if damage is None else damage)
  found = _get(cache, source)
  assert source.count == 2 and "is damaged; computed anew" in caplog.text
  np.testing.assert_array_equal(found["code"], want["code"])
  _get(cache, source)
  assert source.count == 2  # It was replaced.


def test_what_was_used_longest_ago_is_deleted(tmp_path):
  source, cache = _Source(), feature_cache.Cache(tmp_path)
  for k in range(3):
    _get(cache, source, weights=str(k))
    for path in tmp_path.iterdir():
      past = path.stat().st_mtime - 60
      os.utime(path, (past, past))
  size = sum(path.stat().st_size for path in tmp_path.iterdir()) // 3
  _get(cache, source, weights="0")  # Used: "1" is now the oldest.
  small = feature_cache.Cache(tmp_path, most_bytes=3 * size)
  _get(small, source, weights="3")
  assert source.count == 4 and len(list(tmp_path.iterdir())) == 6
  _get(small, source, weights="0")
  assert source.count == 4
  _get(small, source, weights="1")
  assert source.count == 5


def test_a_folder_that_cannot_be_written_stops_nothing(tmp_path, caplog):
  (tmp_path / "features").write_text("a file")
  source = _Source()
  found = _get(feature_cache.Cache(tmp_path / "features"), source)
  assert source.count == 1 and found["code"].shape == (2, 5)
  assert "not kept" in caplog.text


def test_a_link_is_refused_and_without_a_folder_nothing_is_kept(tmp_path):
  (tmp_path / "link").symlink_to(tmp_path)
  with pytest.raises(errors.InputError, match="symbolic link"):
    _get(feature_cache.Cache(tmp_path / "link"), _Source())
  source = _Source()
  for _ in range(2):
    _get(feature_cache.Cache(), source)
  assert source.count == 2


def test_the_folder_is_that_of_caches(tmp_path, monkeypatch):
  monkeypatch.setenv("FACEREP_CACHE", str(tmp_path))
  assert feature_cache.default().folder == tmp_path / "features"

  def fail():
    raise errors.InputError("no home")

  monkeypatch.setattr(places, "cache_root", fail)
  assert feature_cache.default().folder is None
