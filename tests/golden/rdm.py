"""Published numbers of the denoiser; makes rdm_small.npz of the full file.

From the root: python -m tests.golden.rdm ../shared/golden/rdm.npz
The small file has the published weights without what has no effect on a single
pixel: of 3x3 kernels the centre taps, of attention no queries and keys. They
are in one array in the order of their names, low bytes first, then the high
ones, which compresses better.
"""

import pathlib
import sys
from typing import Any, NamedTuple

import numpy as np

PATH = pathlib.Path(__file__).with_name("rdm_small.npz")
NUM_GROUPS = 8
_UNUSED = ("attentions.0.query", "attentions.0.key")
_ARRAYS = (
  *("code", "noise", "timesteps", "alphas_cumprod", "noisy", "pred", "loss"),
  *("ddim5/clip0", "ddim5/clip1", "ddim5/timesteps"),
)


class Published(NamedTuple):
  """What the published code was given and what it returned.

  Attributes:
    state: torch's names to weights.
    grad_norms: The same names to the norms of the loss's gradients.
    arrays: All else, by the names in the full file; one track of five frames.
  """

  state: dict[str, np.ndarray]
  grad_norms: dict[str, float]
  arrays: dict[str, Any]


def read(path: pathlib.Path) -> Published:
  """Reads the full file."""
  with np.load(path) as file:
    data = dict(file)
  state, grad_norms = (
    {
      name.removeprefix(prefix): value
      for name, value in data.items()
      if name.startswith(prefix)
    }
    for prefix in ("param/", "gradnorm/")
  )
  return Published(state, grad_norms, {name: data[name] for name in _ARRAYS})


def write_small(full: Published) -> None:
  """Writes the small file."""
  names = sorted(full.state)
  kept = [n for n in names if not any(part in n for part in _UNUSED)]
  weights = np.concatenate([_centre(full.state[n]).ravel() for n in kept])
  np.savez_compressed(
    PATH,
    shapes=np.array(
      "\n".join(f"{n} {' '.join(map(str, full.state[n].shape))}" for n in names)
    ),
    weights=np.ascontiguousarray(weights.view(np.uint8).reshape(-1, 2).T),
    grad_norms=np.float32([full.grad_norms[n] for n in names]),
    **full.arrays,
  )


def read_small() -> Published:
  """Reads the small file; all that has no effect is noise."""
  with np.load(PATH) as file:
    data = dict(file)
  weights = data["weights"].T.copy().view(np.float16)[:, 0]
  rng = np.random.default_rng(0)
  state, start = {}, 0
  for line in str(data["shapes"]).splitlines():
    name, *shape = line.split()
    value = rng.normal(size=tuple(map(int, shape))).astype(np.float16)
    state[name] = value
    if not any(part in name for part in _UNUSED):
      size = _centre(value).size
      _centre(value).flat = weights[start : start + size]
      start += size
  grad_norms = dict(zip(state, data["grad_norms"], strict=True))
  return Published(state, grad_norms, {name: data[name] for name in _ARRAYS})


def _centre(value):
  """Views the centre tap of a kernel; other arrays whole."""
  if value.ndim < 4:
    return value
  return value[:, :, value.shape[2] // 2, value.shape[3] // 2]


if __name__ == "__main__":
  write_small(read(pathlib.Path(sys.argv[1])))
  print(f"{PATH.name}: {PATH.stat().st_size} bytes")
