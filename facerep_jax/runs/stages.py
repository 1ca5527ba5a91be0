"""Runs that learn in stages: a config, a folder and a done mark for each.

The config of such a run holds what the stages share, and under the name of each
what is its own. `config_of` makes of it a config such as systems without stages
have, so that a stage is an ordinary run in a folder of its own.
"""

import contextlib
import hashlib
import os
import pathlib
import re
from collections.abc import Iterator
from typing import Any

import flax.traverse_util
import ml_collections
import numpy as np

from facerep_jax import errors
from facerep_jax.files import atomic
from facerep_jax.runs import configuration
from facerep_jax.systems import base

ALL = "all"
_DONE, _USED = "done.json", "stages_used.json"


def of(config: ml_collections.ConfigDict) -> tuple[str, ...]:
  """Names the stages of which a config holds the settings; () without."""
  names = base.STAGES.get(config.system, ())
  return names if all(name in config for name in names) else ()


def chosen(config: ml_collections.ConfigDict) -> tuple[str, ...]:
  """Names the stages that `config.stage` asks for.

  Raises:
    InputError: There is no such stage.
  """
  names = of(config)
  if config.stage == ALL:
    return names
  if config.stage not in names:
    raise errors.InputError(
      f"config.stage: expected {ALL} or one of {', '.join(names)}, got "
      f"{config.stage!r}."
    )
  return (config.stage,)


def config_of(
  config: ml_collections.ConfigDict, stage: str
) -> ml_collections.ConfigDict:
  """Returns the config of one stage.

  Args:
    config: Of all stages.
    stage: One of `of(config)`.

  Returns:
    What the stages share, overlaid with what is the stage's own; the networks
    of the stages before stand in `model`, under their names.
  """
  tree, names = config.to_dict(), of(config)
  flat = {k: v for k, v in tree.items() if k not in names}
  flat = _overlay(flat, tree[stage]) | {"stage": stage}
  if stage != names[0]:
    # What stands above the stages is of the first one.
    flat["init_from"] = tree[stage].get("init_from", "")
  for earlier in names[: names.index(stage)]:
    flat["model"][earlier] = tree[earlier]["model"]
  return ml_collections.ConfigDict(flat)


def setting(config: ml_collections.ConfigDict, name: str) -> str:
  """Names a setting as the user gives it.

  Args:
    config: Of a run without stages, or of one stage.
    name: Of a setting there, such as "batch_size" or "model.width".

  Returns:
    "config.NAME", or "config.STAGE.NAME" of what the stages do not share.
  """
  names = base.STAGES.get(config.system, ())
  stage = config.get("stage")
  if stage not in names:
    return f"config.{name}"
  own = (*configuration.OWN, "model")
  own += tuple(f"data.{key}" for key in configuration.OWN_DATA)
  if stage != names[0]:
    own += ("init_from",)
  is_own = any(name == key or name.startswith(f"{key}.") for key in own)
  return f"config.{stage}.{name}" if is_own else f"config.{name}"


@contextlib.contextmanager
def named(config: ml_collections.ConfigDict) -> Iterator[None]:
  """Lets errors name settings as `setting` does.

  What works on one stage knows nothing of the others.

  Args:
    config: Of a run without stages, or of one stage.
  """
  try:
    yield
  except errors.InputError as error:
    error.args = (
      re.sub(
        r"\bconfig\.(\w+(?:\.\w+)*)",
        lambda found: setting(config, found[1]),
        str(error),
      ),
    )
    raise


def trainable(config: ml_collections.ConfigDict) -> ml_collections.ConfigDict:
  """Returns a config whose system learns all that a run's features need.

  Args:
    config: Of a run without stages, or of one stage.

  Returns:
    That of the first stage, of which later ones hold the settings; without
    stages the same.
  """
  names = base.STAGES.get(config.system, ())
  if not names or config.stage == names[0]:
    return config
  first = ml_collections.ConfigDict(config)
  first.stage, first.model = names[0], config.model[names[0]]
  return first


def _overlay(under, over):
  """Joins nested dicts; `over` wins."""
  out = dict(under)
  for key, value in over.items():
    both = isinstance(value, dict) and isinstance(under.get(key), dict)
    out[key] = _overlay(under[key], value) if both else value
  return out


def folder(
  workdir: str | os.PathLike, stage: str | None = None
) -> pathlib.Path:
  """Finds the folder that holds the checkpoints of a run.

  Args:
    workdir: Of a run, with stages or without, or of one stage.
    stage: Which stage; by default the last one that has a checkpoint.

  Returns:
    `workdir` itself, or the stage's folder in it.

  Raises:
    InputError: `workdir` holds no run.
  """
  root = pathlib.Path(workdir)
  names = of(configuration.load(root))
  if not names:
    return root
  if stage in names:
    return root / stage
  begun = [name for name in names if (root / name / "checkpoints").is_dir()]
  return root / (begun or names)[-1]


def mark_done(place: pathlib.Path, step: int) -> None:
  """Notes in a stage's folder that it was trained, and for how long."""
  atomic.write_json(place / _DONE, {"step": step})


def done_step(place: pathlib.Path) -> int:
  """Returns the step at which a stage was done, 0 if it was not."""
  path = place / _DONE
  step = _read(path).get("step", 0)
  if type(step) is not int or step < 0:
    raise errors.InputError(
      f"{path}: is damaged (step {step!r}). Delete it: the stage goes on from "
      "its last checkpoint."
    )
  return step


def fingerprint(tree: Any) -> str:
  """Hashes arrays and their names, SHA-256."""
  digest = hashlib.sha256()
  for path, leaf in sorted(flax.traverse_util.flatten_dict(tree).items()):
    array = np.asarray(leaf)
    digest.update(f"{'/'.join(path)} {array.dtype}{array.shape}\n".encode())
    digest.update(np.ascontiguousarray(array).tobytes())
  return digest.hexdigest()


def check_used(place: pathlib.Path, earlier: dict[str, Any]) -> None:
  """Ties a stage to the weights of the stages before it.

  Args:
    place: Folder of the stage; notes are made there at the first call.
    earlier: Parameters by stage.

  Raises:
    InputError: It began with other weights.
  """
  now = {name: fingerprint(tree) for name, tree in earlier.items()}
  before = _read(place / _USED)
  if not before:
    atomic.write_json(place / _USED, now)
    return
  for name, value in now.items():
    if before.get(name) != value:
      raise errors.InputError(
        f"{place}: began with other weights of the stage {name} than the best "
        f"of {place.parent / name} now. Give another --workdir with "
        f"--config.init_from, or delete {place} to train it again."
      )


def _read(path):
  try:
    return atomic.read_json(path, "Restore it from a copy, or delete it.")
  except FileNotFoundError:
    return {}
