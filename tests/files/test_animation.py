import sys

import av
import numpy as np
import pytest
from PIL import Image, ImageSequence

from facerep_jax import errors
from facerep_jax.files import animation


def frames():
  """A grey bar that moves over a coloured slope, [6, 32, 48, 3], [0, 1]."""
  slope = np.linspace(0.2, 0.8, 48)
  out = np.stack([slope, slope[::-1], np.full(48, 0.5)], axis=-1)
  out = np.broadcast_to(out, (6, 32, 48, 3)).copy()
  for i, frame in enumerate(out):
    frame[:, 8 * i : 8 * i + 8] = 0.0
  return out


def test_gif_holds_the_frames_and_repeats(tmp_path):
  path = tmp_path / "sub" / "a.jpg.gif"
  animation.save(path, frames())
  with Image.open(path) as film:
    shown = [np.asarray(x.convert("RGB")) for x in ImageSequence.Iterator(film)]
    assert film.info["loop"] == 0 and film.info["duration"] == 80
  # 256 colours for all frames.
  np.testing.assert_allclose(np.stack(shown) / 255, frames(), atol=0.03)
  assert [p.name for p in path.parent.iterdir()] == ["a.jpg.gif"]


def test_mp4_holds_the_frames(tmp_path):
  path = tmp_path / "a.mp4"
  animation.save(path, frames())
  with av.open(str(path)) as film:
    assert film.streams.video[0].average_rate == 12.5
    shown = [x.to_ndarray(format="rgb24") for x in film.decode(video=0)]
  assert np.stack(shown).shape == (6, 32, 48, 3)
  # Colours are stored at half the resolution, and compressed.
  assert np.abs(np.stack(shown) / 255 - frames()).mean() < 0.05
  dark = [int(x.mean((0, 2)).argmin()) // 8 for x in shown]
  assert dark == list(range(6))
  assert [p.name for p in tmp_path.iterdir()] == ["a.mp4"]


def test_refuses_other_kinds(tmp_path, monkeypatch):
  with pytest.raises(errors.InputError, match="ends in .gif or .mp4"):
    animation.save(tmp_path / "a.avi", frames())
  monkeypatch.setitem(sys.modules, "av", None)
  with pytest.raises(errors.InputError, match=r"facerep_jax\[video\]"):
    animation.save(tmp_path / "a.mp4", frames())
  assert not list(tmp_path.iterdir())
