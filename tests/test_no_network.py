"""Nothing phones home: embedding photos opens no connection."""

import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from facerep_jax.synthetic import generator

ROOT = pathlib.Path(__file__).resolve().parent.parent
# Python tells of each connection and each name that is looked up, whichever
# module asks. What was asked for is noted even where the error is caught.
REFUSE = """
import sys
ASKED = []
def refuse(event, arguments):
  if event in ("socket.connect", "socket.getaddrinfo", "socket.sendto",
               "socket.gethostbyname", "urllib.Request"):
    ASKED.append((event, arguments[1:]))
    raise OSError("no network in this test")
sys.addaudithook(refuse)
"""
EMBED = """
import numpy as np, facerep_jax
from facerep_jax import embed
folder = sys.argv[1]
for name in facerep_jax.models():
  embed.main([f"--model={name}", f"--images={folder}/photos",
              f"--output={folder}/{name}.npz"])
assert not ASKED, ASKED
"""
CONNECT = """
import socket
for call in (lambda: socket.create_connection(("127.0.0.1", 9), 1),
             lambda: socket.socket().connect(("127.0.0.1", 9)),
             lambda: socket.getaddrinfo("localhost", 80)):
  try:
    call()
  except OSError as error:
    assert "no network" in str(error), error
print(sorted({event for event, _ in ASKED}))
"""


def _run(code, *arguments):
  return subprocess.run(
    [sys.executable, "-c", REFUSE + code, *map(str, arguments)],
    cwd=ROOT,
    env=os.environ | {"JAX_PLATFORMS": "cpu"},
    capture_output=True,
    text=True,
  )


def test_packaged_models_embed_photos_without_a_network(tmp_path):
  pytest.importorskip("cv2")
  photos = tmp_path / "photos"
  photos.mkdir()
  settings = generator.Settings(num_people=2, num_frames=1, size_px=128)
  for i in range(2):
    (pixels,) = generator.draw_track(settings, i, 0).frames
    Image.fromarray(pixels).save(photos / f"{i}.png")
  done = _run(EMBED, tmp_path)
  assert done.returncode == 0, done.stderr
  for name in ("latentface-synthetic", "fabnet-synthetic"):
    with np.load(tmp_path / f"{name}.npz") as file:
      assert any(x.ndim == 2 and len(x) == 2 for x in map(file.get, file.files))


def test_a_connection_would_have_been_noticed():
  done = _run(CONNECT)
  assert done.returncode == 0, done.stderr
  assert done.stdout.strip() == "['socket.connect', 'socket.getaddrinfo']"
