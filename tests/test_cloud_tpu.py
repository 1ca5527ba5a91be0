"""The scripts for Cloud TPUs, with a stand-in for gcloud."""

import os
import re
import shlex
import time

import pytest

from tests.launch_scripts import (
  LAUNCH,
  QUEUED,
  ROOT,
  TRAIN,
  call,
  printed,
  stub,
)


def test_dry_run_of_queued_slices_prints_each_command():
  arguments = ("--spot", "--slices=2", f"--setup={LAUNCH / 'local.sh'}")
  text = printed("tpu_queued.sh", *arguments, "run", *QUEUED, *TRAIN)
  commands = [shlex.split(line) for line in text.splitlines()]
  steps = [
    " ".join(w for w in c[:7] if w[0] != "-").replace(
      c[0] + " compute tpus ", ""
    )
    for c in commands
  ]
  setup = LAUNCH / "local.sh"
  expected = ["queued-resources create run", "queued-resources describe run"]
  for node in ("run-0", "run-1"):
    expected += [f"tpu-vm scp {setup} {node}:facerep_setup.sh"]
    expected += [f"tpu-vm ssh {node}"]
  expected += [f"tpu-vm ssh run-{i}" for i in (0, 1, 0, 1, 0, 0)]
  expected += ["queued-resources delete run"]
  assert steps == expected
  assert {"--spot", "--node-count=2", "--node-prefix=run"} <= set(commands[0])
  assert all("--zone=us-east1-d" in c for c in commands)
  one = printed("tpu_queued.sh", "--keep", "run", *QUEUED, *TRAIN)
  assert "--node-id=run" in one and " delete " not in one


# Stands in for Google Cloud: a slice that is taken back while it trains, and
# one that is not. What would run on a host runs here, where it is worker 0.
CLOUD = """
echo "$*" >> "$FAKE/calls"
case $* in
  *create*) echo ACTIVE > "$FAKE/state" ;;
  *delete*) rm "$FAKE/state" ;;
  *describe*)
    [[ -e $FAKE/state ]] || { echo 'ERROR: NOT_FOUND: none' >&2; exit 1; }
    cat "$FAKE/state" ;;
  *--worker=0*|*--worker=all*start*)
    for word; do
      [[ $word != --command=* ]] || bash -c "${word#*=}"
    done ;;
esac
"""
# Stands in for Python.
TRAINING = """
echo "training $*"
echo x >> "$FAKE/trainings"
case $(wc -l < "$FAKE/trainings") in
  1) echo SUSPENDED > "$FAKE/state"; exit "$FACEREP_STOPPED_EXIT_CODE" ;;
esac
exit "$FAKE_CODE"
"""


@pytest.fixture
def cloud(tmp_path):
  """Returns the environment in which a cloud is stood in for."""
  stub(tmp_path, "python", TRAINING)
  return {
    "PATH": stub(tmp_path, "gcloud", CLOUD),
    "PYTHON": tmp_path / "python",
    "FAKE": tmp_path,
    "FAKE_CODE": "0",
    "FACEREP_LOGS": tmp_path / "host",
    "FACEREP_POLL_S": "0",
    "cwd": tmp_path,
  }


def _queued(cloud):
  zone, kind, version, _ = QUEUED
  arguments = ("run", zone, kind, version, ROOT, *TRAIN)
  return call("tpu_queued.sh", *arguments, **cloud)


def test_a_slice_that_is_taken_back_is_asked_for_again(cloud, tmp_path):
  done = _queued(cloud)
  assert done.returncode == 0, done.stderr
  calls = (tmp_path / "calls").read_text()
  found = re.findall(r"queued-resources (create|delete)", calls)
  assert found == ["create", "delete", "create", "delete"]
  assert len((tmp_path / "trainings").read_text().split()) == 2
  assert f"training -m facerep_jax.main {' '.join(TRAIN)}" in done.stdout
  assert "the run is done" in done.stderr
  # One folder of logs for each slice.
  assert sorted(os.listdir(tmp_path / "logs" / "run")) == ["1", "2"]


def test_a_run_that_fails_ends_the_loop(cloud, tmp_path):
  done = _queued(cloud | {"FAKE_CODE": "1"})
  assert done.returncode == 1
  assert "failed 3 times in a row" in done.stderr
  assert len((tmp_path / "trainings").read_text().split()) == 4
  assert not (tmp_path / "state").exists()


def test_what_is_refused_is_not_asked_for_without_end(cloud, tmp_path):
  text = CLOUD.replace('echo ACTIVE > "$FAKE/state"', "exit 1")
  stub(tmp_path, "gcloud", text)
  done = _queued(cloud)
  assert done.returncode == 1 and "refused 3 times in a row" in done.stderr
  assert "delete" not in (tmp_path / "calls").read_text()


def test_new_hosts_are_set_up_once(cloud, tmp_path):
  (tmp_path / "setup.sh").write_text("echo x >> $FAKE/set_up\n")
  text = CLOUD.replace(
    "esac\n",
    """
      *scp*) cp "$5" "$FAKE/facerep_setup.sh" ;;
      *ssh*facerep_setup_done*) bash -c "${9#*=}" ;;
    esac
    """,
    1,
  )
  assert text != CLOUD
  stub(tmp_path, "gcloud", text)
  (tmp_path / "trainings").write_text("x\n")  # None is taken back.
  zone, kind, version, _ = QUEUED
  arguments = ("--keep", "--setup=setup.sh", "run", zone, kind, version, ROOT)
  for _ in range(2):
    done = call("tpu_queued.sh", *arguments, *TRAIN, **cloud)
    assert done.returncode == 0, done.stderr
  assert (tmp_path / "set_up").read_text() == "x\n"
  assert (tmp_path / "calls").read_text().count("test -e facerep") == 2


def _host(cloud, *arguments):
  return call("tpu_host.sh", *arguments, **cloud)


def test_a_training_on_a_host_survives_what_started_it(cloud, tmp_path):
  assert _host(cloud, "status").stdout == "none\n"
  stub(
    tmp_path,
    "python",
    f"""
    trap 'echo told; exit 75' TERM
    touch {tmp_path}/up
    while :; do sleep 0.1; done
    """,
  )
  command = (tmp_path / "python", "a b")
  assert _host(cloud, "start", *command).returncode == 0
  deadline = time.monotonic() + 60
  while not (tmp_path / "up").exists():
    assert time.monotonic() < deadline
    time.sleep(0.05)
  pid = int((tmp_path / "host" / "pid").read_text())
  try:
    assert os.getsid(pid) == pid != os.getsid(0)
    assert _host(cloud, "status").stdout == "running\n"
    # The same one is let go on; another one is refused.
    assert _host(cloud, "start", *command).returncode == 0
    assert int((tmp_path / "host" / "pid").read_text()) == pid
    other = _host(cloud, "start", "true")
    assert other.returncode == 2 and "trains something else" in other.stderr
  finally:
    _host(cloud, "stop")
  assert "told" in _host(cloud, "follow").stdout
  assert _host(cloud, "status").stdout == "exit 75\n"
  (tmp_path / "host" / "exit").unlink()
  assert _host(cloud, "status").stdout == "lost\n"


def test_pods_are_stopped_by_the_same_script():
  text = printed("tpu_pod.sh", "--stop", "a,b", "us-east1-d", "f", *TRAIN)
  first, second = map(shlex.split, text.splitlines())
  assert first[5] == "a" and second[5] == "b"
  assert "--command=cd f && bash launch/tpu_host.sh stop " in first
