"""Writes a trained model to one file: weights, or a program for serving.

python -m facerep_jax.export --workdir=RUN --output=FILE.safetensors
python -m facerep_jax.export --model=NAME --output=FILE.jaxexport
"""

import logging
import pathlib
import sys

import numpy as np

from facerep_jax import cli, errors
from facerep_jax.files import outputs
from facerep_jax.inference import api, model_choice, serving, weight_file

_log = logging.getLogger(__name__)
_IMAGES, _SEED = 8, 0


def main(arguments: list[str]) -> None:
  """Runs the command.

  Args:
    arguments: What follows the command's name.

  Raises:
    InputError: The arguments or what they lead to cannot be used.
  """
  options = _parser().parse_args(arguments)
  suffix = pathlib.Path(options.output).suffix
  if suffix not in (weight_file.SUFFIX, serving.SUFFIX):
    raise errors.InputError(
      f"--output={options.output}: expected NAME{weight_file.SUFFIX} for "
      f"weights, or NAME{serving.SUFFIX} for a program."
    )
  outputs.check_file(options.output, "--output")
  place = model_choice.place_of(options)
  run = api.load(place, step=options.step)
  _log.info("%s, checkpoint of step %d", place, run.step)
  if suffix == serving.SUFFIX:
    _write_program(run, options.output)
  else:
    _write_weights(run, options)


def _write_weights(run, options):
  num_bytes = run.save(options.output, summary=options.summary)
  print(f"{options.output}: step {run.step}, {num_bytes / 1e6:.2f} MB")
  for name, (most, scale) in differences(run, api.load(options.output)).items():
    print(
      f"  {name}: differs by at most {most:.2g}, of values up to {scale:.2g}"
    )


def _write_program(run, path):
  about = serving.save(run, path)
  num_bytes = pathlib.Path(path).stat().st_size
  names = ", ".join(about["platforms"])
  print(f"{path}: step {run.step}, {num_bytes / 1e6:.2f} MB, for {names}")
  for name, width in about["features"].items():
    print(f"  {name}: [N, {width}] float32")


def _parser():
  parser = cli.Parser("python -m facerep_jax.export", description=__doc__)
  add = parser.add_argument
  model_choice.add_arguments(parser)
  add(
    "--output",
    required=True,
    help=f"file to write, {weight_file.SUFFIX} or {serving.SUFFIX}",
  )
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
