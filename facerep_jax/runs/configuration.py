"""Defaults of every run, and the checks of a config."""

import dataclasses
import functools
import json
import os
import pathlib
import runpy
from collections.abc import Sequence

import ml_collections

from facerep_jax import errors, setting_ranges
from facerep_jax.data import samples, transforms, turn_ramp
from facerep_jax.files import atomic
from facerep_jax.runs import (
  config_files,
  curriculum,
  optim,
  renamed_settings,
  setting_names,
)
from facerep_jax.synthetic import generator
from facerep_jax.systems import base as base_system

# What may change between the parts of a run that was interrupted.
_FREE = (
  "steps",
  "every",
  "keep",
  "profile_steps",
  "preset",
  "data.path",
  "data.num_threads",
  "data.on_bad_record",
)
# Without these a run cannot be opened; the last ones unless it has stages.
_NEEDED = ("system", "preset", "seed", "keep", "dtype")
_NEEDED_ALONE = ("steps", "ema_decay", "model", "data.crop")
# `config.synthetic` of trainings whose weights are to serve real faces.
VARIED_PEOPLE = {
  "seed": 11,
  "num_people": 2_500,
  "size_px": 96,
  "expressions": 4,
  "heads": "mixed",
  "restyle": True,
}


def base(system: str, preset: str) -> ml_collections.ConfigDict:
  """Returns the settings that every system shares, at their defaults.

  Args:
    system: "fabnet" or "latentface", or a module of your own by its whole name.
    preset: Name of the variant, for messages.

  Returns:
    A config without `model`, which the caller adds.
  """
  config = ml_collections.ConfigDict()
  config.system = system
  config.preset = preset
  config.seed = 0
  config.steps = 1_000  # Updates.
  config.batch_size = 32  # Tracks in a global batch.
  config.dtype = "float32"  # Compute type: float32 or bfloat16.
  config.init_from = ""  # Run, file or model whose weights to start from.
  config.ema_decay = 0.0  # Of a moving average of the weights; 0: none.
  config.keep = 3  # Checkpoints kept, beside the best.
  config.optimizer = dataclasses.asdict(optim.Recipe())
  config.curriculum = dataclasses.asdict(curriculum.Rule())
  config.every = {
    "log": 100,  # Steps.
    "eval": 0,  # Steps; 0: by epochs.
    "eval_epochs": 1,  # Epochs, where `eval` is 0.
    "save": 1,  # Evaluations.
    "save_minutes": 0.0,  # A checkpoint in between, too; 0: none.
    "pictures": 1,  # Evaluations.
  }
  config.profile_steps = 0  # Of each call; 0: none. Also --profile.
  config.eval_samples = 0  # Per evaluation; 0: one per validation draw.
  config.data = {
    "path": "",  # Folder of face tracks or photos; empty: synthetic.
    "sample_by": "person",
    "min_frames": 0,  # Tracks of fewer are left out.
    "with_replacement": False,  # Frames of a sample may repeat.
    "on_bad_record": "error",
    "resize_on": "host",  # Or "device": frames are sent whole.
    "use_jitter": True,
    "use_mirror": False,
    "colour_jitter": 0.0,
    "cache_codes": False,  # Compute what the frozen stage says only once.
    "turn_ramp": dataclasses.asdict(turn_ramp.TurnRamp()),
    "num_threads": 0,  # Of each process; 0: one for each of its cores.
    "crop": dataclasses.asdict(transforms.Crop()),
  }
  config.synthetic = {  # Tracks made when data.path is empty.
    "seed": 0,
    "num_people": 1000,
    "tracks_per_person": 2,
    "num_frames": 16,
    "size_px": 128,
    "pose_scale": generator.Settings.pose_scale,  # Of yaw, pitch and roll.
    "expressions": generator.Settings.expressions,  # Of a track; 0: one or two.
    "heads": "",  # Empty: built-in; ict, mixed, or path of ICT-FaceKit's data.
    "restyle": False,  # Hair style and glasses anew for each track.
  }
  return config


def staged(
  system: str, preset: str, names: Sequence[str]
) -> ml_collections.ConfigDict:
  """Returns the settings of a system that learns in stages.

  Args:
    system: As for `base`.
    preset: As for `base`.
    names: Of the stages.

  Returns:
    As `base`, but what each stage has of its own stands under its name, and
    `stage` says which are trained: "all", or one of them. `init_from` is of the
    first stage; the others have their own.
  """
  config = base(system, preset)
  own = {key: config[key] for key in setting_names.OWN}
  own["data"] = {key: config.data[key] for key in setting_names.OWN_DATA}
  for key in setting_names.OWN:
    del config[key]
  for key in setting_names.OWN_DATA:
    del config.data[key]
  config.stage = "all"
  for name in names:
    config[name] = ml_collections.ConfigDict(own).copy_and_resolve_references()
  for name in names[1:]:
    config[name].init_from = ""
  return config


def from_file(text: str) -> ml_collections.ConfigDict:
  """Runs a config file.

  Args:
    text: Its path or its name, such as "fabnet", and behind a colon the preset;
      without, the file's default.

  Returns:
    The config; its values can be changed, and no new ones added.

  Raises:
    InputError: There is no such file or preset, or it makes no config.
  """
  name, colon, preset = text.partition(":")
  path = config_files.find(name)
  get_config = runpy.run_path(str(path)).get("get_config")
  if get_config is None:
    raise errors.InputError(f"--config={name}: defines no get_config().")
  return get_config(*([preset] if colon else [])).lock()


def recipe(config: ml_collections.ConfigDict) -> optim.Recipe:
  """Returns the optimiser's settings of a run or a stage."""
  named = functools.partial(setting_names.of, config)
  return optim.Recipe(**config.optimizer, setting=named)


def rule(config: ml_collections.ConfigDict) -> curriculum.Rule:
  """Returns the curriculum's settings of a run or a stage."""
  named = functools.partial(setting_names.of, config)
  return curriculum.Rule(**config.curriculum, setting=named)


def ramp(config: ml_collections.ConfigDict) -> turn_ramp.TurnRamp | None:
  """Returns a run's or a stage's ramp of turned frames; None without one."""
  named = functools.partial(setting_names.of, config)
  found = turn_ramp.TurnRamp(**config.data.turn_ramp, setting=named)
  return found if found.first_deg else None


def sampling(
  config: ml_collections.ConfigDict, *, num_frames: int, size_px: int
) -> tuple[samples.Sampling, samples.Sampling]:
  """Builds the sampling rules of a config.

  Args:
    config: A run's config.
    num_frames: T, frames of a sample.
    size_px: Side of the frames.

  Returns:
    For training, and for evaluation: in order, the same crops every time, no
    mirroring and no colour changes, resized on the host.
  """
  data = config.data
  common = {
    "num_frames": num_frames,
    "size_px": size_px,
    "sample_by": data.sample_by,
    "min_frames": data.min_frames,
    "with_replacement": data.with_replacement,
    "on_bad_record": data.on_bad_record,
    "crop": transforms.Crop(**data.crop),
    "is_jittered": data.use_jitter,
    "setting": functools.partial(setting_names.of, config),
  }
  train = samples.Sampling(
    **common,
    seed=config.seed,
    use_mirror=data.use_mirror,
    colour_jitter=data.colour_jitter,
    # Runs of before have no such setting.
    resize_on=data.get("resize_on", samples.Sampling.resize_on),
    ramp=ramp(config),
    batch_size=config.batch_size,
  )
  evaluate = samples.Sampling(**common, seed=0, is_shuffled=False)
  return train, evaluate


def check(config: ml_collections.ConfigDict) -> None:
  """Checks what can be checked without data or devices.

  Args:
    config: A run's config.

  Raises:
    InputError: A value is out of range; the line names it.
  """
  check_ranges(config)
  if config.dtype not in ("float32", "bfloat16"):
    raise errors.InputError(
      f"config.dtype: expected float32 or bfloat16, got {config.dtype!r}."
    )
  recipe(config)
  ramp(config)
  transforms.Crop(**config.data.crop)
  curriculum.band(
    rule(config),
    curriculum.State(),
    config.batch_size,
    functools.partial(setting_names.of, config),
  )


def check_ranges(config: ml_collections.ConfigDict) -> None:
  """Checks every number of a config, see `setting_ranges`.

  Args:
    config: Of a run without stages, or of one stage.

  Raises:
    InputError: One is out of its range.
  """
  table = setting_ranges.table_of(config.system, config.get("stage", ""))
  setting_ranges.check(
    flatten(config.to_dict()),
    table,
    functools.partial(setting_names.of, config),
  )


def lacking(tree: dict, needed: Sequence[str]) -> list[str]:
  """Lists the settings that a config needs and has not.

  Args:
    tree: The config.
    needed: Names, joined with dots, of settings or of groups of them.
  """
  flat = flatten(tree)
  return [
    name
    for name in needed
    if not any(f"{key}.".startswith(f"{name}.") for key in flat)
  ]


def flatten(tree: dict, prefix: str = "") -> dict[str, object]:
  """Joins the names of nested settings with dots."""
  flat = {}
  for name, value in tree.items():
    if isinstance(value, dict):
      flat |= flatten(value, f"{prefix}{name}.")
    else:
      flat[prefix + name] = value
  return flat


def store(
  config: ml_collections.ConfigDict, workdir: str | os.PathLike
) -> None:
  """Writes config.json of a run, or checks that the one there agrees.

  Args:
    config: The run's config.
    workdir: Its folder.

  Raises:
    InputError: The folder belongs to a run with other settings.
  """
  check_same(config, workdir)
  write(config, workdir)


def check_same(
  config: ml_collections.ConfigDict, workdir: str | os.PathLike
) -> None:
  """Checks that a folder holds no run with other settings than these.

  Args:
    config: The run's config.
    workdir: Its folder.

  Raises:
    InputError: It does.
  """
  path = pathlib.Path(workdir) / "config.json"
  new = json.loads(config.to_json())
  if path.exists():
    old = flatten(renamed_settings.translated(atomic.read_json(path)))
    fresh = flatten(new)
    for name in fresh.keys() - old.keys():
      last = name.split(".")[-1]
      if last in renamed_settings.ADDED:
        old[name] = renamed_settings.ADDED[last]
    differing = [
      f"{setting_names.of(config, name)} (there {old.get(name)!r}, here "
      f"{fresh.get(name)!r})"
      for name in sorted(old.keys() | fresh.keys())
      if old.get(name) != fresh.get(name)
      and not any(name == f or name.startswith(f + ".") for f in _FREE)
    ]
    if differing:
      raise errors.InputError(
        f"{workdir}: holds a run with other settings: {', '.join(differing)}. "
        "Use the same settings, or another --workdir."
      )


def write(
  config: ml_collections.ConfigDict, workdir: str | os.PathLike
) -> None:
  """Writes config.json of a run."""
  path = pathlib.Path(workdir) / "config.json"
  atomic.write_json(path, json.loads(config.to_json()))


def load(workdir: str | os.PathLike) -> ml_collections.ConfigDict:
  """Reads config.json of a run.

  Args:
    workdir: Its folder, or that of one of its stages.

  Returns:
    The config.

  Raises:
    InputError: The folder holds no run, or the file is damaged.
  """
  path = pathlib.Path(workdir) / "config.json"
  try:
    tree = atomic.read_json(path)
  except FileNotFoundError as error:
    raise errors.InputError(
      f"{workdir}: expected the folder of a run, but it has no config.json. "
      "Give the --workdir that training wrote."
    ) from error
  tree = renamed_settings.translated(tree)
  config = ml_collections.ConfigDict(tree)
  names = base_system.STAGES.get(str(tree.get("system")), ())
  is_staged = bool(names) and all(isinstance(tree.get(x), dict) for x in names)
  needed = _NEEDED if is_staged else (*_NEEDED, *_NEEDED_ALONE)
  missing = lacking(tree, needed)
  if missing or not base_system.is_known(str(tree["system"])):
    raise errors.InputError(
      f"{path}: is damaged, or of another version: expected the settings of a "
      f"run of {' or '.join(base_system.NAMES)}; it lacks "
      f"{', '.join(missing) or 'a known system'}. Restore it from a copy."
    )
  if not is_staged:
    check_ranges(config)
  return config
