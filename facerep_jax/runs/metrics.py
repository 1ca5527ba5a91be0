"""Where measurements go: metrics.jsonl and TensorBoard events."""

import json
import math
import os
import pathlib

import numpy as np
import tensorboardX

from facerep_jax.files import atomic

# Readings of the host: they differ between two runs of the same computation.
HOST_READINGS = (
  "steps_per_second",
  "tracks_per_second",
  "data_wait_share",
  "seconds",
  "bad_records",
  "tflops",
  "peak_share",
  "device_memory_gb",
)


class Writer:
  """Appends measurements of a run.

  Args:
    workdir: The run's folder.
    step: Step from which the run goes on; later lines are cut off.
  """

  def __init__(self, workdir: str | os.PathLike, step: int):
    self._path = pathlib.Path(workdir) / "metrics.jsonl"
    _cut_back(self._path, step)
    self._file = open(self._path, "a")  # noqa: SIM115
    self._events = tensorboardX.SummaryWriter(
      str(pathlib.Path(workdir) / "tensorboard"), purge_step=step + 1
    )

  def write(self, step: int, split: str, values: dict[str, float]) -> None:
    """Writes one line: `step`, `split` and the values.

    Args:
      step: Updates applied so far.
      split: "train", "validation" or "test".
      values: Finite numbers by name.
    """
    line = {"step": step, "split": split}
    line |= {name: float(value) for name, value in values.items()}
    self._file.write(json.dumps(line, allow_nan=False) + "\n")
    self._file.flush()
    for name, value in values.items():
      self._events.add_scalar(f"{split}/{name}", float(value), step)
    self._events.flush()

  def picture(self, step: int, name: str, image: np.ndarray) -> None:
    """Adds a picture [H, W, 3] uint8 to the TensorBoard events."""
    self._events.add_image(name, image, step, dataformats="HWC")

  def close(self) -> None:
    """Ends the files."""
    self._file.close()
    self._events.close()


class Silent:
  """Stands in for `Writer` in the processes that write nothing."""

  def write(self, step: int, split: str, values: dict[str, float]) -> None:
    """Does nothing."""

  def picture(self, step: int, name: str, image: np.ndarray) -> None:
    """Does nothing."""

  def close(self) -> None:
    """Does nothing."""


def _cut_back(path, step):
  """Drops lines after `step`, and a last line that is not whole."""
  text = path.read_text(errors="replace") if path.exists() else ""
  kept = [line for line in text.splitlines() if _is_up_to(line, step)]
  # Also where there was none: a link without a target would be written to.
  atomic.write_text(path, "".join(line + "\n" for line in kept))


def _is_up_to(line, step):
  try:
    return json.loads(line)["step"] <= step
  except (ValueError, TypeError, LookupError, RecursionError):
    return False


def read(workdir: str | os.PathLike) -> list[dict]:
  """Reads metrics.jsonl of a run, a dict per line."""
  text = (pathlib.Path(workdir) / "metrics.jsonl").read_text()
  return [json.loads(line) for line in text.splitlines()]


def not_finite(values: dict[str, float]) -> list[str]:
  """Lists the names of values that are not finite."""
  return [name for name, value in values.items() if not math.isfinite(value)]
