"""Several processes that work on one run: see docs/launch.md."""

import contextlib
import itertools
import logging
import os
import re
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NoReturn

from facerep_jax import errors

# JAX and Orbax are imported where they are used: a wrong flag is to be answered
# before the seconds that they take.

_AUTO = "FACEREP_DISTRIBUTED"
_COORDINATOR = "FACEREP_COORDINATOR"
_COUNT = "FACEREP_NUM_PROCESSES"
_NUMBER = "FACEREP_PROCESS"
# Seconds that the others may start after one, and that one may be silent for
# until the others end; as in JAX.
_START = "FACEREP_START_TIMEOUT_S"
_HEARTBEAT = "FACEREP_HEARTBEAT_TIMEOUT_S"
_TIMEOUTS_S = {_START: 300, _HEARTBEAT: 100}
_STOPPED = "FACEREP_STOPPED_EXIT_CODE"
# Process 0 may be making tracks, or measuring the finished run, for hours.
_LONGEST_WAIT_MS = 7 * 24 * 3600 * 1000
# After which a network file system shows everywhere what was written.
_SHOWN_AFTER_S = 60
_waits = itertools.count()
# What JAX says where another process is gone, and which one, if it tells:
# broken connections of Gloo, and the service by which all watch each other.
_GONE = (
  re.compile(
    r"Gloo [\w-]+ failed: .*?(?P<why>Connection (?:closed|reset) by peer"
    r"|Broken pipe|Timed out waiting)",
    re.DOTALL,
  ),
  re.compile(r"Task (?P<who>\d+) (?P<why>heartbeat timeout)"),
  re.compile(r"\((?P<why>stopped sending heartbeats)\):\s*(?P<who>\d+)\s"),
  re.compile(r"(?P<why>Failed to send RPC to coordination service)"),
)


def settings(environment: Mapping[str, str]) -> dict[str, Any] | None:
  """Reads from the environment which processes work together.

  Args:
    environment: Variables. FACEREP_COORDINATOR (HOST:PORT of process 0),
      FACEREP_NUM_PROCESSES and FACEREP_PROCESS; or FACEREP_DISTRIBUTED=auto,
      where JAX finds these three by itself; with either,
      FACEREP_START_TIMEOUT_S and FACEREP_HEARTBEAT_TIMEOUT_S. Empty ones count
      as absent.

  Returns:
    Arguments of `jax.distributed.initialize`; None without any variable.

  Raises:
    InputError: The variables are incomplete, contradict each other, or have
      values that cannot be.
  """
  three = (_COORDINATOR, _COUNT, _NUMBER)
  given = [name for name in three if environment.get(name)]
  auto = environment.get(_AUTO)
  if auto and auto != "auto":
    raise errors.InputError(
      f"{_AUTO}={auto}: expected auto, or no such variable."
    )
  if auto and given:
    raise errors.InputError(
      f"{_AUTO}=auto lets JAX find the processes, but {' and '.join(given)} "
      "names them too. Unset one or the other."
    )
  if not (auto or given):
    return None
  timeouts = {
    "initialization_timeout": _seconds(environment, _START),
    "heartbeat_timeout_seconds": _seconds(environment, _HEARTBEAT),
  }
  if auto:
    return timeouts
  if len(given) < len(three):
    missing = [name for name in three if name not in given]
    raise errors.InputError(
      f"{' and '.join(given)}: set, but {' and '.join(missing)} not. Several "
      "processes need all three; a single one needs none of them."
    )
  return _checked(*(environment[name] for name in three)) | timeouts


def _seconds(environment, name):
  text = environment.get(name) or str(_TIMEOUTS_S[name])
  if not (text.isdecimal() and 0 < int(text) <= _LONGEST_WAIT_MS // 1000):
    raise errors.InputError(
      f"{name}={text}: expected a whole number of seconds, at least 1."
    )
  return int(text)


def _checked(address, count, number):
  host, _, port = address.rpartition(":")
  if not (host and port.isdecimal() and 0 < int(port) < 2**16):
    raise errors.InputError(
      f"{_COORDINATOR}={address}: expected HOST:PORT of process 0, such as "
      "10.0.0.1:1234."
    )
  if not (count.isdecimal() and int(count) > 0):
    raise errors.InputError(
      f"{_COUNT}={count}: expected a whole number of at least 1."
    )
  if not (number.isdecimal() and int(number) < int(count)):
    raise errors.InputError(
      f"{_NUMBER}={number}: expected a whole number from 0 to {_COUNT} - 1 = "
      f"{int(count) - 1}."
    )
  return {
    "coordinator_address": address,
    "num_processes": int(count),
    "process_id": int(number),
  }


def stopped_code(environment: Mapping[str, str] = os.environ) -> int:
  """Reads the exit code of a training that was stopped before its end.

  What starts trainings on a cluster tells by it a run that is to go on from one
  that is finished.

  Args:
    environment: Variables; of them FACEREP_STOPPED_EXIT_CODE.

  Returns:
    The exit code, 0 by default.

  Raises:
    InputError: It is none, or one that says something else: 1 and 2 are
      errors, those above 125 the shell's.
  """
  text = environment.get(_STOPPED) or "0"
  if text != "0" and not (text.isdecimal() and 2 < int(text) < 126):
    raise errors.InputError(
      f"{_STOPPED}={text}: expected 0 or a whole number from 3 to 125."
    )
  return int(text)


def start(environment: Mapping[str, str] = os.environ) -> None:
  """Joins the other processes, if the environment says that there are any.

  To be called before anything else uses JAX. Processes other than the first
  say nothing from here on but errors.

  Args:
    environment: As for `settings`.

  Raises:
    InputError: As `settings`, or the processes do not find each other.
  """
  given = settings(environment)
  stopped_code(environment)
  if given is None:
    return
  import jax

  if "process_id" in given:
    _check_coordinator(given)
  try:
    jax.distributed.initialize(**given)
  except (ValueError, RuntimeError) as error:
    raise errors.InputError(
      f"the processes did not find each other ({error}). {_AUTO}=auto works on "
      f"TPU pods and in Slurm; elsewhere set {_COORDINATOR}, {_COUNT} and "
      f"{_NUMBER}."
    ) from error
  # JAX keeps SIGTERM to itself; here it ends a process, as it would without
  # others, until the training loop asks for it.
  signal.signal(signal.SIGTERM, signal.SIG_DFL)
  sys.excepthook = _show_and_leave
  if not is_first():
    logging.disable(logging.WARNING)
    # Not only `print`: Gloo tells there of its connections.
    with open(os.devnull, "w") as nowhere:
      os.dup2(nowhere.fileno(), sys.stdout.fileno())


def _check_coordinator(given):
  """Checks for what JAX would end without a clear line."""
  address = given["coordinator_address"]
  if given["process_id"] == 0:
    if _answers(address):
      raise errors.InputError(
        f"{_COORDINATOR}={address}: another program uses that port. Choose "
        "another one, or end what is left of an earlier run."
      )
    return
  deadline = time.monotonic() + given["initialization_timeout"]
  while not _answers(address):
    if time.monotonic() > deadline:
      raise errors.InputError(
        f"{_COORDINATOR}={address}: process 0 does not answer there within "
        f"{given['initialization_timeout']} s ({_START}). Start it, and check "
        "that this machine reaches it at that address."
      )
    time.sleep(0.2)


def _answers(address):
  host, _, port = address.rpartition(":")
  try:
    socket.create_connection((host.strip("[]"), int(port)), 5).close()
  except OSError:
    return False
  return True


def _show_and_leave(kind, error, trace):
  sys.__excepthook__(kind, error, trace)
  leave(1)


def leave(code: int) -> NoReturn:
  """Ends this process; at once, if it failed and was not merely stopped.

  Python would wait at its end for the other processes, which wait for this one,
  and background writers would say again what has failed.

  Args:
    code: Exit code, 0 for success.
  """
  if code and str(code) != os.environ.get(_STOPPED):
    with contextlib.suppress(OSError):  # The disk may be full for these, too.
      sys.stdout.flush()
      sys.stderr.flush()
    os._exit(code)
  sys.exit(code)


def line_of(error: BaseException | None) -> str | None:
  """Says an error in one line where another process is its cause.

  Args:
    error: What a command raised.

  Returns:
    What has happened, to which process if that is known, and what to do; None
    for all other errors.
  """
  jax, seen = sys.modules.get("jax"), []
  # An error that was raised again may be its own cause.
  while jax and error is not None and error not in seen:
    seen.append(error)
    # The second where a program fails while it is being called.
    if isinstance(error, jax.errors.JaxRuntimeError | ValueError):
      for pattern in _GONE:
        if found := pattern.search(str(error)):
          return _gone(found.groupdict())
    before = None if error.__suppress_context__ else error.__context__
    error = error.__cause__ or before
  return None


def _gone(found):
  import jax

  who = found.get("who")
  if who is None and jax.process_count() == 2:
    who = 1 - jax.process_index()
  name = "another process" if who is None else f"process {who}"
  return (
    f"{name} of this run has ended or no longer answers ({found['why']}); its "
    "own output may say why. Start the same command again for all processes: "
    "the run goes on from its last checkpoint."
  )


def is_first() -> bool:
  """Returns whether this is process 0, which writes and prints for all."""
  import jax

  return jax.process_index() == 0


def wait(place: str) -> None:
  """Waits until all processes are here; it costs the devices nothing.

  Args:
    place: Name of the place, for messages.
  """
  from orbax.checkpoint import multihost

  meet = multihost.get_barrier_sync_fn()
  # No name may come twice; all processes count alike.
  key = f"facerep_jax/{next(_waits)}/{place}"
  meet(key=key, timeout_ms=_LONGEST_WAIT_MS)


@contextlib.contextmanager
def first_alone(place: str) -> Iterator[None]:
  """Lets process 0 do what follows before the others do.

  Args:
    place: As for `wait`.
  """
  if is_first():
    yield
    wait(place)
  else:
    wait(place)
    yield


def any_says(place: str, answer: bool) -> bool:
  """Tells all processes whether any of them says yes.

  Args:
    place: As for `wait`.
    answer: Of this process.

  Returns:
    Whether any said yes, the same for all; all have to ask.
  """
  import jax

  from facerep_jax import sharding

  if jax.process_count() == 1:
    return answer
  # Devices that wait for each other have a time limit; this has none.
  wait(place)
  return bool(sharding.jit_any(sharding.make_mesh())(answer))


def until_shown(is_there: Callable[[], bool], refusal: str) -> None:
  """Waits until this process sees what another one has written.

  Args:
    is_there: Whether it is seen.
    refusal: Message where it is not, after the time that a network file system
      may take.

  Raises:
    InputError: It does not appear.
  """
  deadline = time.monotonic() + _SHOWN_AFTER_S
  while not is_there():
    if time.monotonic() > deadline:
      raise errors.InputError(refusal)
    time.sleep(0.1)
