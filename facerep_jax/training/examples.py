"""Features and pictures of a run's example frames."""

import pathlib

from facerep_jax.files import atomic, outputs
from facerep_jax.inference import api, embedding, face_folder, pictures

FRAMES, FEATURES, PICTURES = "examples", "examples.npz", "faces"
# There as long as features and pictures are those of the weights.
_NOTE = "examples.json"


def forget(workdir: pathlib.Path) -> None:
  """Notes that other weights are to come: `write` has to write anew.

  Args:
    workdir: Folder of a run.
  """
  (workdir / _NOTE).unlink(missing_ok=True)


def write(workdir: pathlib.Path) -> None:
  """Writes the features of the example frames, and pictures of their faces.

  Nothing is done where this was done before, and `forget` was not called since.

  Args:
    workdir: Folder of a trained run; without example frames nothing is done.
  """
  frames, note = workdir / FRAMES, workdir / _NOTE
  is_done = note.exists() and (workdir / FEATURES).exists()
  if is_done or not frames.is_dir():
    return
  outputs.check_file(workdir / FEATURES)
  # Frames of tracks are cut to the face already.
  found = face_folder.of_photos(frames, crop="none")
  model, name = api.load(workdir), str(workdir)
  embedding.embed_folder(model, found, workdir / FEATURES, name=name)
  faces = model.system.faces
  if faces and faces.formation.kind != "flat":
    outputs.check_folder(workdir / PICTURES)
    pictures.render_folder(model, found, workdir / PICTURES, name=name)
  atomic.write_json(note, {"step": model.step})
