"""Calls of the launch scripts, for tests."""

import os
import pathlib
import subprocess

ROOT = pathlib.Path(__file__).resolve().parent.parent
LAUNCH = ROOT / "launch"
CONFIG = "--config=fabnet:demo"
TPU = ("--tpu=tpu-v6e-slice", "--topology=4x4", "--chips=4")
GPU = ("--gpu=nvidia-h100-80gb", "--nodes=2", "--gpus=8")
BUCKET = ("--bucket=my-bucket", "--service-account=trainer")
RUN = ("run-1", "europe-docker.pkg.dev/p/r/facerep:1")
TRAIN = (CONFIG, "--workdir=/data/a b")
# ZONE and so on, of tpu_queued.sh.
QUEUED = ("us-east1-d", "v5litepod-16", "v2-alpha-tpuv5-lite", "code")


def call(script, *arguments, **environment):
  return subprocess.run(
    ["bash", str(LAUNCH / script), *map(str, arguments)],
    cwd=environment.pop("cwd", ROOT),
    env=os.environ | {k: str(v) for k, v in environment.items()},
    capture_output=True,
    text=True,
    timeout=120,
  )


def printed(script, *arguments, **environment):
  done = call(script, "--dry-run", *arguments, **environment)
  assert done.returncode == 0 and done.stderr == "", done.stderr
  return done.stdout


def stub(folder, name, text):
  """Writes a program that stands in for another one; returns the new PATH."""
  path = folder / name
  path.write_text("#!/usr/bin/env bash\n" + text)
  path.chmod(0o755)
  return f"{folder}:{os.environ['PATH']}"
