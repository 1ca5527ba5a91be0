"""Fits linear probes of expression, action units, landmarks and pose.

python -m facerep_jax.fit_probes --model=NAME --output=FILE.npz

--workdir=RUN in place of --model=NAME: a trained run.
"""

import logging
import os
import sys

from facerep_jax import cli
from facerep_jax.data import cache
from facerep_jax.evaluators import ready_fit
from facerep_jax.files import outputs
from facerep_jax.inference import api, model_choice

_log = logging.getLogger(__name__)
# People of no other set.
_SEED, _PEOPLE, _FRAMES, _EXPRESSIONS, _SIZE_PX = 23, 600, 12, 3, 96


def main(arguments: list[str]) -> None:
  """Runs the command.

  Args:
    arguments: What follows the command's name.

  Raises:
    InputError: The arguments or what they lead to cannot be used.
  """
  options = _parser().parse_args(arguments)
  place = model_choice.place_of(options)
  outputs.check_file(options.output, "--output")
  model = api.load(place)
  _log.info("%s, checkpoint of step %d", place, model.step)
  done = ready_fit.fit(model, options.data or f"tracks:{_tracks()}")
  for task, found in done.measured.items():
    scores = ", ".join(
      f"{name} {x.value:.3g} [{x.low:.3g}, {x.high:.3g}] {x.unit}".rstrip()
      for name, x in found.scores.items()
    )
    print(f"{task}: {scores}")
  ready_fit.write(options.output, done)
  size = os.path.getsize(options.output) / 1e6
  print(
    f"{options.output}: {size:.2f} MB; fitted to {done.num_train} frames, "
    f"measured on {done.num_test} of other people"
  )


def _tracks():
  """Returns the folder of the synthetic tracks, made once."""
  return cache.synthetic(
    seed=_SEED,
    num_people=_PEOPLE,
    tracks_per_person=1,
    num_frames=_FRAMES,
    size_px=_SIZE_PX,
    expressions=_EXPRESSIONS,
    heads="mixed",
    restyle=True,
  )


def _parser():
  parser = cli.Parser("python -m facerep_jax.fit_probes", description=__doc__)
  add = parser.add_argument
  model_choice.add_arguments(parser)
  add("--output", required=True, help="file to write, NAME.npz")
  add(
    "--data",
    help="labelled tracks, see docs/labelled.md; by default synthetic ones, "
    "made once",
  )
  return parser


if __name__ == "__main__":
  sys.exit(cli.run(main))
