"""Runs that learn in stages: a config, a folder and a done mark for each.

The config of such a run holds what the stages share, and under the name of each
what is its own. `config_of` makes of it a config such as systems without stages
have, so that a stage is an ordinary run in a folder of its own.
"""

import dataclasses
import hashlib
import os
import pathlib
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


@dataclasses.dataclass(frozen=True)
class Stage:
  """What trains as one: a stage of a run, or a run without stages.

  Attributes:
    config: Its settings, laid out as those of a run without stages.
    name: Of the stage; "" of a run without stages.
  """

  config: ml_collections.ConfigDict
  name: str

  @property
  def before(self) -> tuple[str, ...]:
    """Names of the stages on which it rests, the first one first."""
    return self._all[: self._place]

  @property
  def after(self) -> tuple[str, ...]:
    """Names of the stages that rest on it."""
    return self._all[self._place + 1 :]

  @property
  def _all(self):
    return base.STAGES.get(self.config.system, ()) if self.name else ("",)

  @property
  def _place(self):
    return self._all.index(self.name)

  def folder(self, workdir: pathlib.Path) -> pathlib.Path:
    """Returns the stage's folder in that of its run."""
    return workdir / self.name


def names(config: ml_collections.ConfigDict) -> tuple[str, ...]:
  """Names the stages of which a config holds the settings; () without."""
  known = base.STAGES.get(config.system, ())
  return known if all(name in config for name in known) else ()


def split(config: ml_collections.ConfigDict) -> tuple[Stage, ...]:
  """Returns the stages of a run; one without a name where it has none."""
  return tuple(
    Stage(config_of(config, name), name) for name in names(config)
  ) or (Stage(config, ""),)


def chosen(config: ml_collections.ConfigDict) -> tuple[Stage, ...]:
  """Returns the stages that `config.stage` asks for, as `split` does.

  Raises:
    InputError: There is no such stage.
  """
  known = names(config)
  if not known or config.stage == ALL:
    return split(config)
  if config.stage not in known:
    raise errors.InputError(
      f"config.stage: expected {ALL} or one of {', '.join(known)}, got "
      f"{config.stage!r}."
    )
  return tuple(x for x in split(config) if x.name == config.stage)


def config_of(
  config: ml_collections.ConfigDict, stage: str
) -> ml_collections.ConfigDict:
  """Returns the config of one stage.

  Args:
    config: Of all stages.
    stage: One of `names(config)`.

  Returns:
    What the stages share, overlaid with what is the stage's own; the networks
    of the stages before stand in `model`, under their names.
  """
  tree, known = config.to_dict(), names(config)
  flat = {k: v for k, v in tree.items() if k not in known}
  flat = _overlay(flat, tree[stage]) | {"stage": stage}
  if stage != known[0]:
    # What stands above the stages is of the first one.
    flat["init_from"] = tree[stage].get("init_from", "")
  for earlier in known[: known.index(stage)]:
    flat["model"][earlier] = tree[earlier]["model"]
  return ml_collections.ConfigDict(flat)


def trainable(config: ml_collections.ConfigDict) -> ml_collections.ConfigDict:
  """Returns a config whose system learns all that a run's features need.

  Args:
    config: Of a run without stages, or of one stage.

  Returns:
    That of the first stage, of which later ones hold the settings; without
    stages the same.
  """
  known = base.STAGES.get(config.system, ())
  if not known or config.stage == known[0]:
    return config
  first = ml_collections.ConfigDict(config)
  first.stage, first.model = known[0], config.model[known[0]]
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
  known = names(configuration.load(root))
  if not known:
    return root
  if stage in known:
    return root / stage
  begun = [name for name in known if (root / name / "checkpoints").is_dir()]
  return root / (begun or known)[-1]


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
