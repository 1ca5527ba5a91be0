"""Scripts for clusters, without any: what they print, write and decide."""

import copy
import json
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys
import time

import pytest

from facerep_jax import distributed

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


def manifest(*arguments):
  yaml = pytest.importorskip("yaml")
  return yaml.safe_load(printed("gke.sh", *arguments))


@pytest.fixture(scope="module")
def validate():
  jsonschema = pytest.importorskip("jsonschema")
  schema = json.loads((ROOT / "tests" / "jobset_schema.json").read_text())
  jsonschema.Draft202012Validator.check_schema(schema)
  return jsonschema.Draft202012Validator(schema).validate


def pod_of(tree):
  (job,) = tree["spec"]["replicatedJobs"]
  return job, job["template"]["spec"]["template"]["spec"]


def variables_of(tree):
  (container,) = pod_of(tree)[1]["containers"]
  return {x["name"]: x.get("value") for x in container["env"]}


@pytest.mark.parametrize(
  ("place", "volume", "extra"),
  [
    (TPU, BUCKET, ()),
    ((*TPU, "--slices=2"), BUCKET, ("--spot",)),
    (GPU, BUCKET, ("--spot", "--max-restarts=3")),
    (GPU, ("--claim=runs",), ()),
  ],
)
def test_manifests_fit_the_schema(validate, place, volume, extra):
  tree = manifest(*place, *volume, *extra, *RUN, *TRAIN)
  validate(tree)
  job, pod = pod_of(tree)
  inner = job["template"]["spec"]
  (container,) = pod["containers"]
  assert container["args"] == ["train", *TRAIN]
  assert container["image"] == RUN[1]
  assert inner["completionMode"] == "Indexed"
  assert inner["parallelism"] == inner["completions"]
  # A stopped training is no failure, and does not count.
  stopped = variables_of(tree)["FACEREP_STOPPED_EXIT_CODE"]
  rules = inner["podFailurePolicy"]["rules"]
  assert int(stopped) in rules[1]["onExitCodes"]["values"]
  assert rules[1]["onExitCodes"]["containerName"] == container["name"]
  assert distributed.stopped_code(
    {"FACEREP_STOPPED_EXIT_CODE": stopped}
  ) == int(stopped)
  is_spot = "--spot" in extra
  assert is_spot == ("cloud.google.com/gke-spot" in pod["nodeSelector"])
  assert is_spot == ("tolerations" in pod)
  mounted = {x["name"]: x["mountPath"] for x in container["volumeMounts"]}
  assert mounted["data"] == "/data"
  assert {x["name"] for x in pod["volumes"]} == set(mounted)
  metadata = inner["template"].get("metadata", {})
  has_bucket = volume == BUCKET
  assert has_bucket == ("gke-gcsfuse/volumes" in str(metadata))
  assert has_bucket == (pod.get("serviceAccountName") == "trainer")


def test_hosts_of_a_slice_follow_from_its_topology():
  for topology, chips, hosts in (("4x4", 4, 4), ("2x2x4", 4, 4), ("2x4", 8, 1)):
    options = ("--tpu=t", f"--topology={topology}", f"--chips={chips}")
    tree = manifest(*options, "--slices=3", *BUCKET, *RUN, *TRAIN)
    job, _ = pod_of(tree)
    assert job["replicas"] == 3
    assert job["template"]["spec"]["parallelism"] == hosts


def _typos(tree):
  """Yields copies of a tree with one key misspelt in each."""

  def spots(node, path=()):
    if isinstance(node, dict):
      # Names in these are the user's.
      if path and path[-1] in ("annotations", "nodeSelector"):
        return
      for name, value in node.items():
        yield path, name
        yield from spots(value, (*path, name))
    elif isinstance(node, list):
      for i, value in enumerate(node):
        yield from spots(value, (*path, i))

  for path, name in spots(tree):
    changed = copy.deepcopy(tree)
    node = changed
    for step in path:
      node = node[step]
    node[name + "x"] = node.pop(name)
    yield name, changed


def test_any_misspelt_key_is_caught(validate):
  jsonschema = pytest.importorskip("jsonschema")
  tree = manifest(*GPU, *BUCKET, "--spot", *RUN, *TRAIN)
  count = 0
  for name, changed in _typos(tree):
    count += 1
    with pytest.raises(jsonschema.ValidationError, match=f"'{name}x?'"):
      validate(changed)
  assert count > 60


def test_jax_finds_the_hosts_of_slices_by_what_gke_sets(monkeypatch):
  from jax._src import clusters

  tree = manifest(*TPU, "--slices=2", *BUCKET, *RUN, *TRAIN)
  assert variables_of(tree)["FACEREP_DISTRIBUTED"] == "auto"
  assert "FACEREP_COORDINATOR" not in variables_of(tree)
  hosts = [f"run-1-train-1-{i}.run-1" for i in range(4)]
  for name, value in {
    "TPU_WORKER_HOSTNAMES": ",".join(hosts),
    "TPU_WORKER_ID": "2",
    "MEGASCALE_COORDINATOR_ADDRESS": "run-1-train-0-0.run-1",
    "MEGASCALE_NUM_SLICES": "2",
    "MEGASCALE_SLICE_ID": "1",
  }.items():
    monkeypatch.setenv(name, value)
  monkeypatch.delenv("TPU_PROCESS_ADDRESSES", raising=False)
  cluster = clusters.GkeTpuCluster
  monkeypatch.setattr(cluster, "wait_for_coordinator", lambda *_: None)
  assert cluster.get_process_count() == 8
  assert cluster.get_process_id() == 6
  address = cluster.get_coordinator_address(10, None)
  assert address.startswith("run-1-train-0-0.run-1:")


def test_pods_with_gpus_are_told_who_they_are():
  tree = manifest(*GPU, *BUCKET, *RUN, *TRAIN)
  (container,) = pod_of(tree)[1]["containers"]
  (number,) = (x for x in container["env"] if "valueFrom" in x)
  assert number["name"] == "FACEREP_PROCESS"
  path = number["valueFrom"]["fieldRef"]["fieldPath"]
  assert "batch.kubernetes.io/job-completion-index" in path
  given = variables_of(tree) | {"FACEREP_PROCESS": "1"}
  settings = distributed.settings(given)
  assert settings["num_processes"] == 2 and settings["process_id"] == 1
  # JOBSET-JOB-INDEX-POD.JOBSET, as JobSet calls its first pod.
  assert settings["coordinator_address"].startswith("run-1-train-0-0.run-1:")
  one = manifest(*GPU[:1], "--nodes=1", *GPU[2:], *BUCKET, *RUN, *TRAIN)
  assert distributed.settings(variables_of(one)) is None


def test_arguments_reach_the_training_as_they_are():
  odd = '--config.x="a" $(HOME) $$ \\ {b: #c} & é'
  tree = manifest(*TPU, *BUCKET, *RUN, *TRAIN, odd)
  (container,) = pod_of(tree)[1]["containers"]
  # Kubernetes makes one $ of two, and replaces no variable behind them.
  assert container["args"][-1].replace("$$", "$") == odd
  assert "$(" not in container["args"][-1].replace("$$", "")


def test_gke_applies_what_it_prints(tmp_path):
  path = stub(tmp_path, "kubectl", f'echo "$*"; cat > {tmp_path}/applied\n')
  arguments = (*TPU, *BUCKET, *RUN, *TRAIN)
  done = call("gke.sh", *arguments, PATH=path)
  assert done.returncode == 0, done.stderr
  assert done.stdout.splitlines()[0] == "apply --filename=-"
  text, command = printed("gke.sh", *arguments).rsplit("# ", 1)
  assert command == "kubectl apply --filename=-\n"
  assert (tmp_path / "applied").read_text() == text


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
