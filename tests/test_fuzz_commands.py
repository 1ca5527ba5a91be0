"""Fuzzed command lines and configs: one line each, or what they ask for.

The usual run has a few; -m slow has 100. Seeds are the numbers.
"""

import collections
import contextlib
import io

import jax
import numpy as np
import pytest
from PIL import Image

from configs import fabnet, latentface
from facerep_jax import (
  ablate,
  cli,
  embed,
  errors,
  evaluate,
  make_tracks,
  render,
)
from facerep_jax.runs import configuration, stages
from facerep_jax.systems import base
from tests import fuzz

_ALL = pytest.param(100, marks=pytest.mark.slow)
VALUES = (
  *("", "0", "-1", "1", "1e9", "nan", "inf", "-inf", "1.5", "9" * 40),
  *("x", "None", "true", ",", "a,b", "/", "/dev/null", "\0", "\n", "é\udcff"),
  *("../..", "90/90/90", "^(a+)+$", "(", "*", "%s", "{}", "none", "all"),
)
COMMANDS = {
  make_tracks: (
    *("--source", "--layout", "--person", "--size", "--fps", "--chunk"),
    *("--quality", "--detector", "--split", "--seed", "--num-people"),
    *("--num-frames", "--pose-scale", "--expressions", "--workers", "--sheet"),
  ),
  embed: (
    *("--workdir", "--model", "--images", "--videos", "--batch-size"),
    *("--crop", "--features", "--every", "--fps", "--start", "--stop"),
    *("--person", "--same-person", "--probes"),
  ),
  render: (
    *("--workdir", "--model", "--images", "--what", "--sweep", "--transfer"),
    *("--mesh", "--texture", "--batch-size"),
  ),
  evaluate: (
    *("--workdir", "--model", "--step", "--tasks", "--data", "--features"),
    *("--compare", "--folds", "--probes", "--supervised-steps"),
  ),
  ablate: ("--workdir", "--model", "--train", "--also", "--data", "--every"),
}


def _run(monkeypatch, module, arguments):
  """Runs a command; returns its code and what it printed as errors."""
  monkeypatch.setattr("sys.argv", ["command", *arguments])
  out, err = io.StringIO(), io.StringIO()
  with (
    fuzz.limit(),
    contextlib.redirect_stdout(out),
    contextlib.redirect_stderr(err),
  ):
    code = cli.run(module.main)
  return code, err.getvalue()


def _frames(folder):
  place = folder / "p" / "v" / "t"
  place.mkdir(parents=True)
  for i in range(2):
    pixels = np.full((20, 20, 3), 40 * i, "u1")
    Image.fromarray(pixels).save(place / f"{i}.png")
  return folder


def _arguments(rng, module, frames, output):
  """Draws options: sound ones, one or two of which are then not."""
  names = COMMANDS[module]
  sound = {"--source": frames} if module is make_tracks else {}
  if module is not make_tracks:
    sound = {"--workdir": output / "no run", "--images": frames}
    sound = {k: v for k, v in sound.items() if k in names}
  sound["--output"] = output / "out"
  for name in rng.choice(names, int(rng.integers(1, 3)), replace=False):
    sound[str(name)] = VALUES[rng.integers(len(VALUES))]
  if rng.random() < 0.1:
    sound["--" + "".join(rng.choice(list("abc-=é"), 4))] = "x"
  return [f"{k}={v}" for k, v in sound.items()]


@pytest.mark.parametrize(
  "count", [10, pytest.param(100, marks=pytest.mark.slow)]
)
def test_fuzzed_command_lines(tmp_path, monkeypatch, count):
  frames, outcomes = _frames(tmp_path / "frames"), collections.Counter()
  monkeypatch.chdir(tmp_path)
  modules = list(COMMANDS)
  for seed in range(count):
    rng = np.random.default_rng(seed)
    module = modules[seed % len(modules)]
    arguments = _arguments(rng, module, frames, tmp_path / str(seed))
    code, err = _run(monkeypatch, module, arguments)
    lines = [x for x in err.splitlines() if x.startswith("error: ")]
    assert "Traceback" not in err, arguments
    if code:
      assert code == 1 and len(lines) == 1, (arguments, err)
      assert err.rstrip().splitlines()[-1] == lines[0], (arguments, err)
    outcomes["refused" if code else "done"] += 1
  print(dict(outcomes))
  assert sum(outcomes.values()) == count and outcomes["refused"] > count // 2


def _leaves(config):
  flat = configuration.flatten(config.to_dict())
  return [name for name, x in flat.items() if not isinstance(x, (str, bool))]


def _draw(rng, value):
  """Draws another value of the same type, which may make no sense."""
  if isinstance(value, int):
    return int(rng.choice([-1, 0, 1, 2, 3, 7, 31, 1000, 2**31, 2**53]))
  if isinstance(value, float):
    some = [np.nan, np.inf, -np.inf, -1.0, -1e-9, 0.0, 0.5, 1.0, 2.0, 1e30]
    return float(rng.choice(some))
  return tuple(rng.choice(["light", "flow_decoder", "x", ""], 2).tolist())


def _build(config):
  """Does with a config what a run does before its first step."""
  parts = [config]
  if stages.names(config):
    parts = [stage.config for stage in stages.split(config)]
  for one in parts:
    configuration.check(one)
    system = base.build(one)
    configuration.sampling(
      one, num_frames=system.num_frames, size_px=system.size_px
    )
    jax.eval_shape(system.init, jax.random.key(one.seed))


@pytest.mark.parametrize(
  "count", [4, pytest.param(100, marks=pytest.mark.slow)]
)
def test_fuzzed_configs(count):
  outcomes = collections.Counter()
  for seed in range(count):
    rng = np.random.default_rng(seed)
    config = (fabnet, latentface)[seed % 2].get_config("demo")
    names = _leaves(config)
    changes = {}
    for name in rng.choice(names, int(rng.integers(1, 4)), replace=False):
      *parents, last = str(name).split(".")
      node = config
      for parent in parents:
        node = node[parent]
      node[last] = changes[str(name)] = _draw(rng, node[last])
    with fuzz.limit():
      try:
        _build(config)
      except errors.InputError as error:
        assert fuzz.one_line(error), (seed, changes)
        assert "config." in str(error) or "size: " in str(error), str(error)
        outcomes["refused"] += 1
      else:
        outcomes["built"] += 1
  print(dict(outcomes))
  assert sum(outcomes.values()) == count and outcomes["refused"] >= count // 4
