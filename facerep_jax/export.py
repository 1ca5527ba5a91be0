"""Writes a trained run to one file of weights.

python -m facerep_jax.export --workdir=RUN --output=FILE.safetensors
"""

import logging
import sys

import numpy as np

from facerep_jax import cli
from facerep_jax.files import outputs
from facerep_jax.inference import api

_log = logging.getLogger("facerep_jax.export")  # Not "__main__".
_IMAGES, _SEED = 8, 0


def main(arguments: list[str]) -> None:
  """Runs the command.

  Args:
    arguments: What follows the command's name.

  Raises:
    InputError: The arguments or what they lead to cannot be used.
  """
  options = _parser().parse_args(arguments)
  outputs.check_file(options.output, "--output")
  run = api.load(options.workdir, step=options.step)
  _log.info("%s, checkpoint of step %d", options.workdir, run.step)
  num_bytes = run.save(options.output, summary=options.summary)
  print(f"{options.output}: step {run.step}, {num_bytes / 1e6:.2f} MB")
  for name, (most, scale) in differences(run, api.load(options.output)).items():
    print(
      f"  {name}: differs by at most {most:.2g}, of values up to {scale:.2g}"
    )


def _parser():
  parser = cli.Parser("python -m facerep_jax.export", description=__doc__)
  add = parser.add_argument
  add("--workdir", required=True, help="folder of a trained run")
  add("--output", required=True, help="file to write, .safetensors")
  add("--step", type=int, help="checkpoint to use; default: the best one")
  add("--summary", default="", help="one line about the model")
  return parser


def differences(
  one: api.Representation, other: api.Representation
) -> dict[str, tuple[float, float]]:
  """Compares what two models make of the same random images.

  Args:
    one: A model.
    other: A model with the same features.

  Returns:
    Of each feature the greatest difference, and the greatest absolute value
    that `one` gives.
  """
  size = one.size_px
  rng = np.random.default_rng(_SEED)
  images = rng.integers(0, 256, (_IMAGES, size, size, 3)).astype(np.uint8)
  left, right = (x.embed(images, is_cropped=True) for x in (one, other))
  return {
    name: (
      float(np.abs(value - right[name]).max()),
      float(np.abs(value).max()),
    )
    for name, value in left.items()
  }


if __name__ == "__main__":
  sys.exit(cli.run(main))
