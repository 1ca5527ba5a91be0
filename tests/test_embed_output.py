"""What becomes of computed features where they cannot be written."""

import errno
import os
import pathlib
import re
import types

import numpy as np
import pytest
from PIL import Image

from facerep_jax import cli, embed
from facerep_jax.files import outputs
from facerep_jax.inference import api, embedding


class Model:
  """Gives each photo its mean grey level, twice."""

  step = 1

  def __init__(self):
    self.num_batches = 0

  def embed(self, images, batch_size):
    self.num_batches += 1
    means = np.array([image.mean() for image in images], np.float32)
    return {"embedding": np.stack([means, means], 1)}


@pytest.fixture
def setting(tmp_path, monkeypatch):
  """Five photos, a model, and the command that embeds them two at a time."""
  folder, model = tmp_path / "photos", Model()
  folder.mkdir()
  for i in range(5):
    Image.new("L", (32, 32), 10 * i).save(folder / f"{i}.png")
  monkeypatch.setattr(api, "load", lambda place: model)
  output = tmp_path / "codes.npz"
  arguments = [f"--images={folder}", f"--output={output}", "--workdir=run"]
  arguments += ["--crop=none", "--batch-size=2"]
  monkeypatch.setattr("sys.argv", ["embed", *arguments])
  return types.SimpleNamespace(folder=folder, model=model, output=output)


def check(path, names=("0.png", "1.png", "2.png", "3.png", "4.png")):
  with np.load(path) as found:
    assert found["paths"].tolist() == list(names)
    levels = [10 * i for i in range(5)]
    assert found["embedding"].tolist() == [[x, x] for x in levels]


def test_features_are_written(setting):
  assert cli.run(embed.main) == 0
  check(setting.output)
  assert len(list(setting.output.parent.iterdir())) == 2


def test_a_full_disk_is_told_before_the_work(setting, monkeypatch, capsys):
  def refuse(*args, **kwargs):
    raise OSError(errno.ENOSPC, "x")

  monkeypatch.setattr(outputs.tempfile, "TemporaryFile", refuse)
  assert cli.run(embed.main) == 1
  (line,) = capsys.readouterr().err.splitlines()
  assert line.startswith(f"error: --output={setting.output}: nothing can be")
  assert setting.model.num_batches == 0


def test_too_little_room_is_told_after_the_first_batch(
  setting, monkeypatch, capsys
):
  asked = []

  def refuse(file, start, size):
    asked.append(size)
    raise OSError(errno.ENOSPC, "x")

  monkeypatch.setattr(outputs.os, "posix_fallocate", refuse)
  assert cli.run(embed.main) == 1
  last = capsys.readouterr().err.splitlines()[-1]
  assert "are needed there: No space left on device" in last
  assert setting.model.num_batches == 1
  assert not setting.output.exists()
  monkeypatch.undo()


def test_the_room_that_is_kept_is_enough(setting, monkeypatch):
  asked, allocate = [], os.posix_fallocate

  def keep(file, start, size):
    asked.append(size)
    allocate(file, start, size)

  monkeypatch.setattr(outputs.os, "posix_fallocate", keep)
  assert cli.run(embed.main) == 0
  assert len(asked) == 1
  assert setting.output.stat().st_size <= asked[0] < 20_000


def test_features_survive_a_write_that_fails(
  setting, tmp_path, monkeypatch, capsys
):
  spare, save = tmp_path / "spare", embedding.save
  spare.mkdir()
  monkeypatch.setattr("tempfile.tempdir", str(spare))

  def fail(path, arrays):
    if os.fspath(path) == str(setting.output):
      raise OSError(errno.EIO, "x", str(path))
    save(path, arrays)

  monkeypatch.setattr(embedding, "save", fail)
  assert cli.run(embed.main) == 1
  last = capsys.readouterr().err.splitlines()[-1]
  assert last.startswith(f"error: {setting.output}: x. The features are")
  place = re.search(r"The features are in (\S+\.npz)\.$", last)[1]
  assert pathlib.Path(place).parent == spare
  check(place)


def test_names_that_are_no_utf8_are_embedded(setting, capsys):
  odd = os.fsdecode(b"\xff.png")
  os.rename(setting.folder / "4.png", setting.folder / odd)
  (setting.folder / os.fsdecode(b"\xfe.jpg")).write_bytes(b"no image")
  assert cli.run(embed.main) == 0
  check(setting.output, ("0.png", "1.png", "2.png", "3.png", odd))
  assert "\\udcfe.jpg: not an image" in capsys.readouterr().err
