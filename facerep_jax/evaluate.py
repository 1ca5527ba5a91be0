"""Evaluates a trained run beside its baselines, and writes a report.

python -m facerep_jax.evaluate --workdir=RUN --output=DIR

--model=NAME in place of --workdir=RUN: a model that comes with the library.
"""

import sys

from facerep_jax import cli, errors
from facerep_jax.data.labelled import base as labelled_base
from facerep_jax.detection import detect
from facerep_jax.evaluators import evaluation, report, tasks
from facerep_jax.files import outputs
from facerep_jax.inference import model_choice


def main(arguments: list[str]) -> None:
  """Runs the command.

  Args:
    arguments: What follows the command's name.

  Raises:
    InputError: The arguments or what they lead to cannot be used; or, at the
      end, some of the tasks that were named could not be done.
  """
  given = _parser().parse_args(arguments)
  place = model_choice.place_of(given)
  options = _options(given)
  outputs.check_folder(given.output, "--output")
  done = evaluation.evaluate(place, options)
  for line in report.lines(done.results["tasks"]):
    print(line)
  evaluation.write(given.output, done)
  if options.is_quick:
    print("quick: measured on a sample; not to be cited")
  print(f"{given.output}: report.html and results.json")
  if done.problems:
    raise errors.InputError(
      f"{given.output}: holds the rest, but not measured: "
      f"{' '.join(done.problems)}"
    )


def _parser():
  parser = cli.Parser("python -m facerep_jax.evaluate", description=__doc__)
  add = parser.add_argument
  model_choice.add_arguments(parser)
  add("--output", required=True, help="folder of the report")
  add("--step", type=int, help="checkpoint to use; default: the best one")
  add(
    "--tasks",
    default="",
    help=f"separated by commas, of {', '.join(tasks.TASKS)}; default: all that "
    "the data has labels for",
  )
  add(
    "--data",
    action="append",
    help="labelled data, see docs/labelled.md; default "
    f"{evaluation.BENCHMARK}; may be given several times",
  )
  add(
    "--features",
    default="",
    help="which of the run's, separated by commas; default: all",
  )
  add(
    "--compare",
    default="",
    help="other runs, files or models, separated by commas",
  )
  add(
    "--crop",
    choices=labelled_base.CUTS,
    help="how the images are cut, where that is not as the data's kind says",
  )
  add("--detector", help=detect.HELP)
  add(
    "--fit-pose",
    action="store_true",
    help="derive the pose from 68 landmarks where it is not labelled",
  )
  add(
    "--folds",
    type=int,
    default=0,
    help="cross-validate over this many folds of people instead of the data's "
    "own split; 0: only where it has none",
  )
  add("--probes", help="apply the probes.npz of another evaluation")
  add(
    "--supervised-steps",
    type=int,
    default=evaluation.Options.supervised_steps,
    help="training of the supervised upper bound; 0: leave it out",
  )
  add(
    "--quick",
    action="store_true",
    help="measure a sample of each set, without the supervised upper bound: a "
    "look, not to be cited",
  )
  add(
    "--no-cache",
    action="store_true",
    help="compute all features anew, and keep none",
  )
  return parser


def _options(given):
  return evaluation.Options(
    tasks=_apart(given.tasks),
    data=tuple(given.data or [evaluation.BENCHMARK]),
    features=_apart(given.features),
    compare=_apart(given.compare),
    step=given.step,
    crop=given.crop,
    detector=given.detector,
    fit_pose=given.fit_pose,
    folds=given.folds,
    probes=given.probes,
    supervised_steps=given.supervised_steps,
    is_quick=given.quick,
    use_cache=not given.no_cache,
  )


def _apart(text):
  return tuple(text.split(",")) if text else ()


if __name__ == "__main__":
  sys.exit(cli.run(main))
