"""The script for Slurm, the image, and what all scripts refuse."""

import json
import pathlib
import re
import shlex
import shutil
import subprocess
import sys

import pytest

from tests.launch_scripts import (
  BUCKET,
  CONFIG,
  GPU,
  LAUNCH,
  QUEUED,
  ROOT,
  RUN,
  TPU,
  TRAIN,
  call,
  printed,
  stub,
)


def test_tasks_of_slurm_have_their_cpus_and_container():
  sets = {"SLURM_CPUS_PER_TASK": "6"}
  words = shlex.split(printed("slurm.sbatch", CONFIG, **sets))
  assert "--cpus-per-task=6" in words[: words.index("python")]
  assert words[-1] == "--config.data.num_threads=6"
  own = shlex.split(
    printed("slurm.sbatch", CONFIG, "--config.data.num_threads=2", **sets)
  )
  assert own[-1] == "--config.data.num_threads=2"
  words = shlex.split(
    printed("slurm.sbatch", "--pyxis=IMAGE", "--mounts=/a:/b", CONFIG)
  )
  first = words.index("python")
  assert words[first - 2 : first] == [
    *("--container-image=IMAGE", "--container-mounts=/a:/b"),
  ]
  words = shlex.split(
    printed("slurm.sbatch", "--apptainer=I.sif", "--mounts=/a:/b", CONFIG)
  )
  first = words.index("python")
  assert words[first - 5 : first] == [
    *("apptainer", "exec", "--nv", "--bind=/a:/b", "I.sif"),
  ]


@pytest.mark.parametrize(
  ("options", "code", "state", "is_requeued"),
  [
    (["--until-done"], 75, "RUNNING", True),
    (["--until-done"], 75, "COMPLETING", False),
    (["--until-done"], 0, "RUNNING", False),
    (["--until-done"], 1, "RUNNING", False),
    ([], 75, "RUNNING", False),
  ],
)
def test_stopped_jobs_go_back_to_the_queue(
  tmp_path, options, code, state, is_requeued
):
  stub(tmp_path, "srun", f"exit {code}\n")
  stub(tmp_path, "squeue", f"echo {state}\n")
  path = stub(tmp_path, "scontrol", f'echo "$*" > {tmp_path}/requeued\n')
  done = call("slurm.sbatch", *options, CONFIG, PATH=path, SLURM_JOB_ID=7)
  assert done.returncode == code
  assert (tmp_path / "requeued").exists() == is_requeued
  if is_requeued:
    assert (tmp_path / "requeued").read_text() == "requeue 7\n"


def test_a_cancelled_job_does_not_go_back_to_the_queue(tmp_path):
  # As scancel does, SIGTERM goes to the script, too.
  stub(tmp_path, "srun", "kill -s TERM $PPID; sleep 0.5; exit 75\n")
  stub(tmp_path, "squeue", "echo RUNNING\n")
  path = stub(tmp_path, "scontrol", f"touch {tmp_path}/requeued\n")
  done = call("slurm.sbatch", "--until-done", CONFIG, PATH=path, SLURM_JOB_ID=7)
  assert done.returncode == 75
  assert not (tmp_path / "requeued").exists()


@pytest.mark.parametrize(
  ("script", "arguments", "text"),
  [
    ("gke.sh", [*TPU, *BUCKET, "run-1"], "arguments are missing"),
    ("gke.sh", [*TPU, *BUCKET, "Run", "i", *TRAIN], "NAME: expected"),
    ("gke.sh", [*TPU, *BUCKET, "r", "a b", *TRAIN], "IMAGE: expected"),
    ("gke.sh", [*TPU, *BUCKET, *RUN, CONFIG, "--workdir=w"], "in /data"),
    ("gke.sh", [*TPU, *BUCKET, *RUN, *TRAIN[1:], "-x"], "--config is missing"),
    ("gke.sh", [*TPU, *BUCKET, *RUN, *TRAIN, "a\nb"], "no line ends"),
    ("gke.sh", [*TPU, *RUN, *TRAIN], "expected --bucket"),
    ("gke.sh", [*TPU, *BUCKET, "--claim=c", *RUN, *TRAIN], "expected --bucket"),
    ("gke.sh", [*BUCKET, *RUN, *TRAIN], "expected --tpu"),
    ("gke.sh", [*TPU, *GPU, *BUCKET, *RUN, *TRAIN], "expected --tpu"),
    ("gke.sh", [*GPU, "--slices=2", *BUCKET, *RUN, *TRAIN], "expected --tpu"),
    (
      "gke.sh",
      [*TPU, "--chips=3", *BUCKET, *RUN, *TRAIN],
      "a divisor of the 16",
    ),
    ("gke.sh", [*TPU, "--topology=4", *BUCKET, *RUN, *TRAIN], "--topology:"),
    ("gke.sh", ["--spott", *TPU, *BUCKET, *RUN, *TRAIN], "no such option"),
    ("gke.sh", [*TPU, "--bucket=gs://b", BUCKET[1], *RUN, *TRAIN], "--bucket:"),
    ("tpu_queued.sh", ["run", *QUEUED], "arguments are missing"),
    ("tpu_queued.sh", ["-x", *QUEUED, *TRAIN], "NAME: expected"),
    (
      "tpu_queued.sh",
      ["--slices=0", "r", *QUEUED, *TRAIN],
      "--slices: expected",
    ),
    ("tpu_queued.sh", ["--setup=none", "r", *QUEUED, *TRAIN], "--setup: there"),
    ("slurm.sbatch", ["--mounts=a", CONFIG], "--mounts: needs"),
    ("slurm.sbatch", ["--pyxis=a", "--apptainer=b", CONFIG], "one of them"),
    ("tpu_pod.sh", ["a,-b", "us-east1-d", "f", *TRAIN], "NAME: expected"),
  ],
)
def test_wrong_arguments_are_refused_with_the_usage(script, arguments, text):
  done = call(script, *arguments)
  assert done.returncode == 2 and done.stdout == ""
  error, usage = done.stderr.splitlines()[:2]
  assert error.startswith("error: ") and text in error
  assert usage.startswith("usage: ") and f"launch/{script}" in usage


def test_hadolint_finds_nothing():
  beside = pathlib.Path(sys.executable).parent / "hadolint"
  found = str(beside) if beside.exists() else shutil.which("hadolint")
  if found is None:
    pytest.skip("hadolint is absent")
  done = subprocess.run(
    [found, str(LAUNCH / "Dockerfile")], capture_output=True, text=True
  )
  assert done.returncode == 0, done.stdout


def test_the_image_heeds_signals_and_has_all_that_it_copies():
  text = (LAUNCH / "Dockerfile").read_text().replace("\\\n", " ")
  lines = [line.split(None, 1) for line in text.splitlines() if line[:1] > "#"]
  made = {word: rest for word, rest in lines if word.isupper()}
  # Without a shell between, which would keep signals to itself.
  assert json.loads(made["ENTRYPOINT"]) == ["tini", "--", "facerep"]
  assert isinstance(json.loads(made["CMD"]), list)
  user = re.search(r"^user=(\d+)$", (LAUNCH / "gke.sh").read_text(), re.M)
  assert made["USER"] == f"{user[1]}:{user[1]}" and user[1] != "0"
  allowed = (ROOT / ".dockerignore").read_text().split()
  copied = [
    path for word, rest in lines if word == "COPY" for path in rest.split()[:-1]
  ]
  assert len(copied) == 5 and allowed[0] == "*"
  for path in copied:
    assert (ROOT / path).exists() and f"!{path}" in allowed
