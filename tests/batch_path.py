"""Which files of the package a training batch of FAb-Net passes.

`python -m tests.batch_path` prints them. The calls of one batch of a small
config are noted in all threads: those that read it and send it to the device,
and those of the training step while it is traced.
"""

import contextlib
import pathlib
import sys
import tempfile
import threading
from collections.abc import Iterator

import jax

import facerep_jax
from facerep_jax.training import loop, setup
from tests import tiny

ROOT = pathlib.Path(facerep_jax.__file__).parent


@contextlib.contextmanager
def _calls() -> Iterator[set[str]]:
  """Collects the files of the package whose functions are called."""
  found = set()

  def note(frame, event, arg):
    del arg
    if event == "call":
      path = frame.f_code.co_filename
      if path.startswith(f"{ROOT}/"):
        found.add(path.removeprefix(f"{ROOT}/"))

  threading.setprofile(note)
  sys.setprofile(note)
  try:
    yield found
  finally:
    sys.setprofile(None)
    threading.setprofile(None)


def files() -> list[str]:
  """Returns the files that one batch passes, sorted, below the package."""
  with (
    tempfile.TemporaryDirectory() as folder,
    jax.numpy_dtype_promotion("standard"),  # As optax needs it.
  ):
    root = pathlib.Path(folder)
    data = tiny.write_tracks(root / "tracks")
    config = tiny.config(data)
    run, state = setup.prepare(config, root / "run", data, jax.devices()[:1])
    jax.clear_caches()  # What `prepare` traced is traced again.
    stream, control = loop.device_batches(run, 0), run.control()
    with _calls() as found:
      batch = next(stream)
      run.train_step.lower(state, run.frozen, batch, control)
    run.checkpoints.close()
    run.writer.close()
  return sorted(found)


if __name__ == "__main__":
  names = files()
  print("\n".join(names))
  print(f"{len(names)} files")
