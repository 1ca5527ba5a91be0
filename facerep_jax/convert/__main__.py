"""Converts published weights to files of this library, and back.

python -m facerep_jax.convert --input=FILE --kind=KIND --output=NAME.safetensors

KIND is fabnet, unsup3d, latentface or vgg16. A card, NAME.md, is written too.
--to=torch --input=RUN: a run or a file of this library, under the names of the
published PyTorch code.
"""

import sys

from facerep_jax import cli, errors
from facerep_jax.inference import conversion, published_weights


def main(arguments: list[str]) -> None:
  """Runs the command.

  Args:
    arguments: What follows the command's name.

  Raises:
    InputError: The arguments or what they lead to cannot be used.
  """
  options = _parser().parse_args(arguments)
  if options.to == "torch":
    _refuse(options, "first", "torch")
    lines = conversion.to_torch(
      options.input, options.output, options.kind, options.step
    )
  else:
    _refuse(options, "step", "facerep_jax")
    if not options.kind:
      raise errors.InputError(
        f"--kind is missing: one of {', '.join(published_weights.KINDS)}."
      )
    lines = conversion.from_published(
      options.input, options.kind, options.output, options.first
    )
  print("\n".join(lines))


def _refuse(options, name, to):
  """Refuses an option that means nothing in this direction."""
  if getattr(options, name) not in (None, ""):
    raise errors.InputError(
      f"--{name}: means nothing with --to={to}. Leave it out."
    )


def _parser():
  parser = cli.Parser("python -m facerep_jax.convert", description=__doc__)
  add = parser.add_argument
  add(
    "--input",
    required=True,
    help="file of published weights; with --to=torch a run, file or model",
  )
  add("--output", required=True, help="file to write, .safetensors")
  add(
    "--kind",
    default="",
    choices=published_weights.KINDS,
    help="what the weights are of; with --to=torch whose names to use, by "
    "default those of the code that published such a model",
  )
  add(
    "--to",
    default="facerep_jax",
    choices=("facerep_jax", "torch"),
    help="facerep_jax: a file for load and config.init_from; torch: the "
    "published names; default: facerep_jax",
  )
  add(
    "--first",
    default="",
    help="of latentface: file with the first stage, where --input has only the "
    "denoisers",
  )
  add("--step", type=int, help="checkpoint of a run; default: the best one")
  return parser


if __name__ == "__main__":
  sys.exit(cli.run(main))
