"""Features and pictures of a run's example frames, made by the commands."""

import pathlib

from facerep_jax import api, embed, render

FRAMES, FEATURES, PICTURES = "examples", "examples.npz", "faces"


def write(workdir: pathlib.Path) -> None:
  """Writes the features of the example frames, and pictures of their faces.

  Args:
    workdir: Folder of a trained run; without example frames nothing is done.
  """
  frames = workdir / FRAMES
  if not frames.is_dir():
    return
  # Frames of tracks are cut to the face already.
  common = [f"--workdir={workdir}", f"--images={frames}", "--crop=none"]
  embed.main([*common, f"--output={workdir / FEATURES}"])
  faces = api.load(workdir).system.faces
  if faces and faces.formation.kind != "flat":
    render.main([*common, f"--output={workdir / PICTURES}"])
