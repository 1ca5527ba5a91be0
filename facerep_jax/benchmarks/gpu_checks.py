"""All that a GPU can show in one run of some minutes.

python -m facerep_jax.benchmarks.gpu_checks --output=DIR [--seconds=540]

launch/gpu_checks.sh runs it; docs/benchmarks.md says what it does.
"""

import argparse
import os
import pathlib
import signal
import sys
import tempfile
import time

from facerep_jax import cli, errors
from facerep_jax.benchmarks import gpu_results, gpu_run
from facerep_jax.files import outputs
from facerep_jax.runs import process_options

_ROOT = pathlib.Path(__file__).resolve().parents[2]
# Shares of all seconds that each may take; the training takes what is left.
_SHARES = {
  "environment": 0.08,
  "tests": 0.12,
  "tracks": 0.1,
  "fabnet": 0.1,
  "autoencoder": 0.14,
  "fabnet_compiled": 0.1,
  "render": 0.08,
  "diffusion": 0.07,
  "data": 0.04,
  "devices": 0.03,
}
_TRAINING_SHARE, _EXPORT_SHARE = 0.25, 0.06
# Of each of the few parts that there are then: most of them need far less, on
# a machine that nothing else is busy with.
_TINY_SHARE, _TINY_EXPORT_SHARE = 0.4, 0.15
# Names of the benchmarks and their options, by part.
_BENCHMARKS = {
  "fabnet": (
    *("--only=fabnet", "--sizes=256:32"),
    "--torch=eager,channels_last,bfloat16",
  ),
  "autoencoder": ("--only=autoencoder", "--presets=paper:64:64,demo:64:8"),
  # By itself: torch.compile takes long.
  "fabnet_compiled": (
    *("--only=fabnet", "--sizes=256:32"),
    "--torch=compile,compile_bfloat16",
  ),
  "render": ("--only=render",),
  "diffusion": ("--only=diffusion",),
  "data": ("--only=data",),
  "devices": ("--only=devices",),
}
_TINY_BENCHMARKS = {
  "fabnet": ("--only=fabnet", "--sizes=32:2", "--torch="),
}
# Quick, and right on one device.
_TESTS = (
  *("tests/ops", "tests/models", "tests/test_sharding.py"),
  *("tests/runs/test_arithmetic.py", "tests/systems"),
)
_TINY_TESTS = ("tests/ops/test_colour.py",)
_TINY_SETTINGS = (
  "--config.autoencoder.model.width=16",
  "--config.autoencoder.model.code_dim=8",
  "--config.autoencoder.model.vector_width=4",
  "--config.autoencoder.model.hidden_dim=8",
  "--config.autoencoder.model.use_confidence=False",
  "--config.autoencoder.model.decoder=resize",
  "--config.autoencoder.model.light_and_view=joint",
  "--config.autoencoder.model.mirror=random",
  "--config.autoencoder.model.perceptual=pyramid",
  "--config.autoencoder.model.weights.perceptual=0.0",
  "--config.autoencoder.batch_size=2",
  "--config.autoencoder.eval_samples=2",
)

_FULL_SETTINGS = (
  "--config.autoencoder.eval_samples=64",
  "--config.data.num_threads=12",
)


def main(arguments: list[str]) -> int:
  """Runs the command.

  Args:
    arguments: What follows the command's name.

  Returns:
    0 if every part passed, else 1.

  Raises:
    InputError: The arguments cannot be used.
  """
  start = time.monotonic()
  options = _parser().parse_args(arguments)
  if options.seconds <= 0:
    raise errors.InputError(
      f"--seconds={options.seconds:g}: expected more than 0."
    )
  output = pathlib.Path(options.output).resolve()
  outputs.check_folder(output, "--output")
  output.mkdir(parents=True, exist_ok=True)
  with tempfile.TemporaryDirectory(prefix="facerep_gpu_") as temporary:
    work = pathlib.Path(options.work or temporary).resolve()
    outputs.check_folder(work, "--work")
    (work / "logs").mkdir(parents=True, exist_ok=True)
    results = check(options, work, output, start + options.seconds)
  print((output / "summary.md").read_text())
  return 0 if all(result.is_good for result in results) else 1


def check(
  options: argparse.Namespace,
  work: pathlib.Path,
  output: pathlib.Path,
  deadline: float,
) -> list[gpu_run.Result]:
  """Runs all parts and writes what they found.

  Args:
    options: Of the command.
    work: Folder in which the parts work; it has a folder `logs`.
    output: Folder of the results.
    deadline: When all has to be over, as of `time.monotonic`.

  Returns:
    How each part ended.
  """
  parts = plan(options, work)

  def save(results):
    gpu_results.save(work, output, results, len(parts))
    last = results[-1]
    print(f"{last.name}: {last.status}, {last.seconds:.0f} s", flush=True)

  return gpu_run.run_all(parts, work / "logs", deadline, save)


def plan(options: argparse.Namespace, work: pathlib.Path) -> list[gpu_run.Part]:
  """Lists the parts in the order in which they run.

  Args:
    options: Of the command: `seconds`, `tiny`, `tracks` and `people`.
    work: Folder in which they work.

  Returns:
    The parts.
  """
  tracks = options.tracks or str(work / "tracks")
  parts = [
    _part(
      options,
      work,
      "environment",
      "facerep_jax.benchmarks.gpu_environment",
      f"--output={work / 'environment.json'}",
      *(("--size=64",) if options.tiny else ("--need=gpu",)),
    ),
    _part(
      options,
      work,
      "tests",
      *_tests(options),
      environment=_of_tests(options),
      stop=signal.SIGINT,  # It then says which tests it ran.
      grace_s=5.0,
    ),
  ]
  if not options.tracks:
    make = _make_tracks(options, tracks)
    parts.append(_part(options, work, "tracks", *make))
  benchmarks = _TINY_BENCHMARKS if options.tiny else _BENCHMARKS
  for name, more in benchmarks.items():
    command = _benchmark(name, more, options, work)
    parts.append(_part(options, work, name, *command))
  return parts + _training_parts(options, work, tracks)


def _part(options, work, name, *command, **more):
  """Makes a part of a module and its arguments."""
  share = _TINY_SHARE if options.tiny else _SHARES.get(name, 0)
  more.setdefault("limit_s", share * options.seconds)
  device = _on_cpu() if options.tiny else {}
  common = {"FACEREP_CACHE": str(work / "cache"), **device}
  environment = common | more.pop("environment", {})
  return gpu_run.Part(
    name, (sys.executable, "-m", *command), environment=environment, **more
  )


def _on_cpu():
  """Runs on the CPU, with programs that are compiled as fast as may be."""
  flags = os.environ.get("XLA_FLAGS", "").split()
  quick = process_options.quick_flags()
  return {"JAX_PLATFORMS": "cpu", "XLA_FLAGS": " ".join(flags + quick)}


def _training_parts(options, work, tracks):
  """Makes the parts that take what time is left."""
  total, run = options.seconds, work / "run"
  export_share = _TINY_EXPORT_SHARE if options.tiny else _EXPORT_SHARE
  return [
    _part(
      options,
      work,
      "training",
      *_training(options, run, tracks),
      # In tiny networks, longer shows nothing more.
      limit_s=_TINY_SHARE * total if options.tiny else total,
      least_s=_TRAINING_SHARE * total,
      grace_s=min(60.0 if options.tiny else 30.0, 0.1 * total),
      may_be_told=True,
    ),
    _part(
      options,
      work,
      "weights",
      *("facerep_jax.export", f"--workdir={run}"),
      f"--output={work / 'weights.safetensors'}",
      limit_s=total,
      least_s=export_share * total,
    ),
  ]


def _tests(options):
  files = _TINY_TESTS if options.tiny else _TESTS
  return (
    *("pytest", "-q", "-rf", "-n", "0", "-p", "no:cacheprovider"),
    *("-m", "not slow and not many_devices", "--tb=short", "--maxfail=30"),
    *(str(_ROOT / file) for file in files),
    f"--rootdir={_ROOT}",
  )


def _of_tests(options):
  """Lets tests run on the GPU, and multiply as precisely as on a CPU."""
  precise = {"JAX_DEFAULT_MATMUL_PRECISION": "highest"}
  return precise if options.tiny else precise | {"JAX_PLATFORMS": "cuda,cpu"}


def _make_tracks(options, tracks):
  people, size = (12, 64) if options.tiny else (options.people, 96)
  return (
    *("facerep_jax.make_tracks", "--source=synthetic", f"--output={tracks}"),
    *(f"--num-people={people}", f"--size={size}", "--num-frames=4"),
    *(("--tracks-per-person=1", "--workers=1") if options.tiny else ()),
  )


def _benchmark(name, more, options, work):
  seconds = 0.1 if options.tiny else 1.0
  return (
    *("facerep_jax.benchmark", f"--seconds={seconds}"),
    *(f"--output={work / 'benchmark' / name}", *more),
  )


def _training(options, run, tracks):
  every, log_every = (50, 5) if options.tiny else (200, 20)
  return (
    *("facerep_jax.main", "--config=latentface:paper"),
    *("--config.stage=autoencoder", f"--workdir={run}"),
    f"--config.data.path={tracks}",
    *("--config.keep=1", f"--config.autoencoder.every.eval={every}"),
    f"--config.autoencoder.every.log={log_every}",
    "--config.autoencoder.every.save=2",
    *(_TINY_SETTINGS if options.tiny else _FULL_SETTINGS),
  )


def _parser():
  parser = cli.Parser(
    "python -m facerep_jax.benchmarks.gpu_checks",
    description=__doc__,
    formatter_class=argparse.RawDescriptionHelpFormatter,
  )
  add = parser.add_argument
  add("--output", required=True, help="folder for the results")
  add(
    "--seconds",
    type=float,
    default=540.0,
    help="for everything (default: %(default)g)",
  )
  add("--tiny", action="store_true", help="tiny sizes on the CPU, to try it")
  add("--tracks", default="", help="folder of tracks; made where not given")
  add(
    "--people",
    type=int,
    default=160,
    help="of the tracks that are made (default: %(default)s)",
  )
  add("--work", help="folder to work in; a temporary one by default")
  return parser


if __name__ == "__main__":
  sys.exit(cli.run(main))
