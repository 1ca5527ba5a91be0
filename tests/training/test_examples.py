import json
import types

import pytest

from facerep_jax.training import examples


@pytest.fixture
def calls(monkeypatch, tmp_path):
  """What is called; embedding writes its file."""
  made = []
  faces = types.SimpleNamespace(formation=types.SimpleNamespace(kind="mesh"))
  model = types.SimpleNamespace(
    step=7, system=types.SimpleNamespace(faces=faces)
  )

  def embed(model, faces, output, *, name):
    made.append("embed")
    output.write_bytes(b"features")

  monkeypatch.setattr(examples.api, "load", lambda workdir: model)
  monkeypatch.setattr(
    examples.face_folder, "of_photos", lambda folder, crop: None
  )
  monkeypatch.setattr(examples.embedding, "embed_folder", embed)
  monkeypatch.setattr(
    examples.pictures,
    "render_folder",
    lambda model, faces, output, *, name: made.append("render"),
  )
  (tmp_path / "examples").mkdir()
  return made


def test_written_once_for_some_weights(calls, tmp_path):
  for _ in range(2):
    examples.write(tmp_path)
    assert calls == ["embed", "render"]
  note = json.loads((tmp_path / "examples.json").read_text())
  assert note == {"step": 7}
  examples.forget(tmp_path)
  examples.forget(tmp_path)
  examples.write(tmp_path)
  assert calls == 2 * ["embed", "render"]


def test_features_that_were_deleted_are_written_anew(calls, tmp_path):
  examples.write(tmp_path)
  (tmp_path / "examples.npz").unlink()
  examples.write(tmp_path)
  assert calls == 2 * ["embed", "render"]


def test_what_was_interrupted_is_done_again(calls, tmp_path, monkeypatch):
  def stop(*args, **options):
    raise KeyboardInterrupt

  with monkeypatch.context() as patch:
    patch.setattr(examples.pictures, "render_folder", stop)
    with pytest.raises(KeyboardInterrupt):
      examples.write(tmp_path)
  assert (tmp_path / "examples.npz").exists()
  examples.write(tmp_path)
  assert calls == ["embed", "embed", "render"]


def test_nothing_is_done_without_frames(calls, tmp_path):
  (tmp_path / "examples").rmdir()
  examples.write(tmp_path)
  assert calls == [] and not list(tmp_path.iterdir())
