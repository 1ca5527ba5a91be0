"""Long work beside the server: in a thread, with progress, to be stopped."""

import threading
from collections.abc import Callable
from typing import Any

from facerep_jax import environment, errors

_WAIT_S = 20.0


class StoppedError(Exception):
  """Work was told to stop."""


class Job:
  """Work in a thread of its own.

  Attributes:
    done: Units done so far.
    total: Units in all; 0 while that is unknown.
    state: "working", "ready" or "failed".
    message: Why it failed, in one line.
  """

  def __init__(self, work: Callable[["Job"], None]):
    """Starts.

    Args:
      work: Gets this job, to say how far it is by `advance`.
    """
    self.done, self.total, self.state, self.message = 0, 0, "working", ""
    self._is_stopped = threading.Event()
    self._thread = threading.Thread(target=self._run, args=(work,), daemon=True)
    self._thread.start()

  def advance(self, done: int) -> None:
    """Says how far the work is.

    Args:
      done: Units done so far.

    Raises:
      StoppedError: The work is to stop.
    """
    self.done = done
    if self._is_stopped.is_set():
      raise StoppedError

  def stop(self) -> None:
    """Tells the work to stop, and waits for it a while."""
    self._is_stopped.set()
    self._thread.join(_WAIT_S)

  def progress(self) -> dict[str, Any]:
    """Returns the attributes, for JSON."""
    names = ("done", "total", "state", "message")
    return {name: getattr(self, name) for name in names}

  def _run(self, work):
    try:
      work(self)
      self.state = "ready"
    except StoppedError:
      pass
    except errors.InputError as error:
      self.message = " ".join(str(error).split())
    except environment.KINDS as error:
      line = environment.line_of(error)
      if line is None:
        raise
      self.message = line
    finally:
      if self.state != "ready":
        self.state = "failed"
        self.message = self.message or "ended early; the terminal may say why."
