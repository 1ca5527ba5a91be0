"""The console command: facerep COMMAND [ARGUMENTS].

Each command is one module: `facerep embed` is `python -m facerep_jax.embed`.
"""

import difflib
import importlib
from typing import NoReturn

from facerep_jax import cli, distributed, errors

# What each does, and its module. Hyphens and underscores are the same.
COMMANDS = {
  "train": ("main", "trains a system, or goes on with a run"),
  "make-tracks": ("make_tracks", "makes face tracks from videos or images"),
  "embed": ("embed", "turns videos, photos or tracks into features"),
  "render": ("render", "draws the faces of a folder of photos"),
  "explore": ("explore", "shows in the browser what a model finds in faces"),
  "evaluate": ("evaluate", "measures a run beside its baselines"),
  "fit-probes": (
    "fit_probes.__main__",
    "fits linear probes for tables of faces",
  ),
  "ablate": ("ablate", "measures what each part of a run brings"),
  "benchmark": ("benchmark", "measures speed on this machine"),
  "aot": ("aot.__main__", "compiles training for TPUs that are not there"),
  "export": ("export", "writes a run to one file of weights"),
  "convert": ("convert.__main__", "converts published weights, and back"),
}


def main() -> NoReturn:
  """Runs the command that the command line names, and ends the process."""
  distributed.leave(cli.run(_main))


def _main(arguments):
  first, rest = (arguments[0], arguments[1:]) if arguments else ("", [])
  if first in ("--help", "-h", "help"):
    print(_usage())
    return 0
  name = first.replace("_", "-")
  if name not in COMMANDS:
    close = difflib.get_close_matches(name, COMMANDS, 1, 0.5)
    hint = f" Did you mean {close[0]}?" if close else ""
    raise errors.InputError(
      f"{first or 'no command'}: expected one of {', '.join(COMMANDS)}.{hint}"
    )
  module = importlib.import_module(f"facerep_jax.{COMMANDS[name][0]}")
  return module.main(rest)


def _usage():
  width = max(map(len, COMMANDS))
  lines = [f"  {name:{width}}  {what}" for name, (_, what) in COMMANDS.items()]
  head, tail = "usage: facerep COMMAND [ARGUMENTS]", "facerep COMMAND --help"
  return "\n".join([head, "", *lines, "", f"{tail} lists what one takes."])
