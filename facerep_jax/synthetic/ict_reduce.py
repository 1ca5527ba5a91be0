"""Makes the packaged ICT heads from ICT-FaceKit's data, and says what it costs.

python -m facerep_jax.synthetic.ict_reduce --source=PATH --output=FILE
"""

import io
import sys

import numpy as np

from facerep_jax import cli, errors
from facerep_jax.files import atomic
from facerep_jax.synthetic import actions, head, ict, ict_packed, motion

NUM_MODES, BITS = 100, 8  # Of the packaged file.
_TABLE_MODES = (20, 40, 60, 80, 100)
_NUM_HEADS = 200  # Random heads that are compared.
_NUM_MOVED = 4  # Action units at work in each.
_MM = 100.0  # Of a unit of head coordinates.


def main(arguments: list[str]) -> None:
  """Runs the command.

  Args:
    arguments: What follows the command's name.

  Raises:
    InputError: The arguments, the source or the output cannot be used.
  """
  options = _parser().parse_args(arguments)
  if not options.output and not options.table:
    raise errors.InputError("--output: expected a file, or --table.")
  full = ict.model(options.source)
  choices = [(options.modes, options.bits)]
  if options.table:
    choices = [
      (k, bits)
      for bits in ict_packed.BITS
      for k in _TABLE_MODES
      if k <= len(full.shape_basis)
    ]
  print("modes bits  MB    rest: rms, greatest mm  moved: rms, greatest mm")
  for num_modes, bits in choices:
    arrays = ict_packed.pack(full, num_modes, bits)
    found = compare(full, ict_packed.unpack(arrays))
    size = len(_encode(arrays)) / 1e6
    print(
      f"{num_modes:5d} {bits:4d}  {size:.2f}"
      + "".join(f"  {rms:8.3f} {most:12.3f}" for rms, most in found)
    )
  if options.output:
    _write(options.output, ict_packed.pack(full, options.modes, options.bits))


def compare(
  full: head.Head, reduced: head.Head, num_heads: int = _NUM_HEADS
) -> tuple[tuple[float, float], tuple[float, float]]:
  """Measures how far the vertices of random heads are apart.

  Args:
    full: The head with all its numbers.
    reduced: The same with the first of them, and rounded.
    num_heads: How many are drawn.

  Returns:
    Root mean square and greatest distance in mm over the vertices of head and
    neck: of resting heads, and of the same with some action units at work.
  """
  rng = np.random.default_rng(0)
  seen = full.follows > 0.5
  rest, moved = [], []
  for _ in range(num_heads):
    shape = motion.bounded_normal(rng, len(full.shape_basis))
    halves = np.zeros((2, 1, len(actions.UNITS)))
    chosen = rng.choice(len(actions.UNITS), _NUM_MOVED, replace=False)
    halves[:, 0, chosen] = rng.random((2, _NUM_MOVED))
    pair = [
      head.neutral(x, shape[: len(x.shape_basis)]) for x in (full, reduced)
    ]
    rest.append((pair[0] - pair[1])[seen])
    skins = [head.animate(x, y, *halves) for x, y in zip((full, reduced), pair)]
    moved.append((skins[0] - skins[1])[0, seen])
  return _errors(rest), _errors(moved)


def _errors(differences):
  square = (np.stack(differences) ** 2).sum(axis=-1)
  return _MM * float(np.sqrt(square.mean())), _MM * float(np.sqrt(square.max()))


def _encode(arrays):
  buffer = io.BytesIO()
  np.savez_compressed(buffer, **arrays)
  return buffer.getvalue()


def _write(path, arrays):
  try:
    with atomic.whole(path) as temporary:
      temporary.write_bytes(_encode(arrays))
  except OSError as error:
    raise errors.InputError(
      f"{path}: cannot be written ({error.strerror}). Choose another --output."
    ) from error


def _parser():
  parser = cli.Parser(
    "python -m facerep_jax.synthetic.ict_reduce", description=__doc__
  )
  add = parser.add_argument
  add("--source", required=True, help="FaceXModel folder, or npz made from it")
  add("--output", help="npz file to write")
  add("--modes", type=int, default=NUM_MODES, help="identity numbers kept")
  add("--bits", type=int, default=BITS, help="of a displacement: 8 or 16")
  add("--table", action="store_true", help="compare several reductions")
  return parser


if __name__ == "__main__":
  sys.exit(cli.run(main))
