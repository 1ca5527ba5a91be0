"""Makes synthetic_small.npz, what the generator drew on one machine.

From the root: python -m tests.golden.synthetic [--write]
Without --write, says how far this machine is from the file. Write it anew when
pictures or labels were meant to change (then `generator.VERSION` has risen).
"""

import pathlib
import sys

import numpy as np

from facerep_jax.synthetic import generator

PATH = pathlib.Path(__file__).with_name("synthetic_small.npz")
SETTINGS = generator.Settings(
  num_people=6, tracks_per_person=1, num_frames=2, size_px=32, maps=True
)


def draw() -> dict[str, np.ndarray]:
  """Returns frames, depth, mask and labels, [people, frames, ...]."""
  tracks = [
    generator.draw_track(SETTINGS, person, 0)
    for person in range(SETTINGS.num_people)
  ]
  out = {
    name: np.stack([track.labels[name] for track in tracks])
    for name in tracks[0].labels
  }
  for name in ("frames", "depth", "mask"):
    out[name] = np.stack([getattr(track, name) for track in tracks])
  out["version"] = np.array(generator.VERSION)
  return out


def compare(got: dict[str, np.ndarray]) -> dict[str, float]:
  """Returns the largest difference to the file, by name."""
  with np.load(PATH, allow_pickle=False) as want:
    return {
      name: float(np.abs(got[name].astype(float) - want[name]).max())
      for name in sorted(want.files)
    }


if __name__ == "__main__":
  drawn = draw()
  if "--write" in sys.argv:
    np.savez_compressed(PATH, **drawn)
  for name, value in compare(drawn).items():
    print(f"{name}: {value:.3g}")
