"""The script for GKE, without a cluster: its manifests and decisions."""

import copy
import json

import pytest

from facerep_jax import distributed
from tests.launch_scripts import (
  BUCKET,
  GPU,
  ROOT,
  RUN,
  TPU,
  TRAIN,
  call,
  printed,
  stub,
)


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
