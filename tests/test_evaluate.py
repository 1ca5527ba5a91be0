import dataclasses
import shutil

import jax
import numpy as np
import pytest

import facerep_jax
from facerep_jax import cli, errors, evaluate
from facerep_jax.evaluators import (
  evaluation,
  feature_cache,
  features,
  linear_probe,
  probe_tasks,
  results,
  task_inputs,
)
from facerep_jax.inference import crop_choice, probe_file
from facerep_jax.training import setup
from tests import tiny
from tests.evaluators import made_up

READ_OUT = {
  "landmarks",
  "pose",
  "expression",
  "expression_multilabel",
  "action_units",
}


@pytest.fixture(scope="module", autouse=True)
def small(tmp_path_factory):
  """One device to compile for, one strength to try, few draws, a new cache."""
  kept = feature_cache.Cache(tmp_path_factory.mktemp("kept") / "features")
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(jax, "local_devices", lambda: jax.devices()[:1])
    patch.setattr(feature_cache, "default", lambda: kept)
    made_up.hurry(patch, 10.0)
    yield kept


@pytest.fixture(scope="module")
def run(tmp_path_factory):
  """Folders of a run that holds a checkpoint, and of its tracks."""
  folder = tmp_path_factory.mktemp("evaluate")
  data = made_up.write_tracks(folder / "tracks")
  config = tiny.config(data, steps=1)
  with jax.numpy_dtype_promotion("standard"):
    prepared, state = setup.prepare(
      config, folder / "run", data, jax.devices()[:1]
    )
  # As if it had been trained: other weights than at the start.
  params = jax.tree.map(lambda x: -x, state.params)
  prepared.checkpoints.save(1, state.replace(params=params), {}, None)
  prepared.checkpoints.close()
  prepared.writer.close()
  return folder / "run", data


def command(*more, **options):
  """Runs the command; returns its exit code."""
  arguments = [
    f"--{name.replace('_', '-')}={value}" for name, value in options.items()
  ]
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr("sys.argv", ["evaluate", *arguments, *more])
    with jax.numpy_dtype_promotion("standard"):
      return cli.run(evaluate.main)


@pytest.fixture(scope="module")
def evaluated(run, tmp_path_factory):
  """Folder of an evaluation of all tasks beside another run."""
  workdir, data = run
  folder = tmp_path_factory.mktemp("report")
  shutil.copytree(workdir, folder / "other")
  code = command(
    workdir=workdir,
    output=folder / "out",
    data=f"tracks:{data}",
    compare=folder / "other",
    supervised_steps=2,
  )
  assert code == 0
  return folder / "out"


def entries(task):
  """An entry of each kind, of the feature that stands first if it has it."""
  first = task["entries"][0]["feature"].split(": ")[-1]
  rest = sorted(task["entries"], key=lambda x: x["feature"].endswith(first))
  return {entry["kind"]: entry for entry in rest}


def test_every_task_has_the_run_and_its_baselines(evaluated):
  read = results.read(evaluated / "results.json")
  assert (evaluated / "report.html").stat().st_size > 10_000
  assert read["compare"] == ["other"] and read["step"] == 1
  tasks = {task["task"]: task for task in read["tasks"]}
  assert set(tasks) == READ_OUT | {"reconstruction"}
  for name in READ_OUT:
    kinds = [entry["kind"] for entry in tasks[name]["entries"]]
    # Networks have two features each.
    assert [k for i, k in enumerate(kinds) if kinds.index(k) == i] == [
      *("run", "random", "pixels", "hog", "supervised", "compare")
    ]
    assert len(kinds) == 4 * 2 + 2
    main = "embedding" if name in ("pose", "landmarks") else "spatial"
    assert tasks[name]["entries"][0]["feature"] == f"fabnet: {main}"
    assert tasks[name]["num_train"] == 10 * 12
    assert tasks[name]["num_test"] == 4 * 12
    assert tasks[name]["num_people"] == 4
    found = entries(tasks[name])
    assert found["random"]["scores"] != found["run"]["scores"]
    # The other run is a copy of this one.
    assert found["compare"]["scores"] == found["run"]["scores"]
    assert found["hog"]["dim"] == 1764
    assert found["pixels"]["dim"] == 8
    # The map has 16 places with four channels of 4 each.
    assert found["run"]["dim"] == (8 if main == "embedding" else 16 * 16 + 8)
  # Raw pixels tell where the blob is: they beat the mean of the angles.
  pose = entries(tasks["pose"])["pixels"]
  yaw = pose["scores"]["mae_yaw"]["value"]
  assert yaw < 0.5 * pose["details"]["mae_of_mean"]["yaw"]
  rebuilt = [e["feature"] for e in tasks["reconstruction"]["entries"]]
  assert rebuilt == [
    "fabnet",
    "copy of the source",
    "random weights",
    "other: fabnet",
  ]
  assert tasks["reconstruction"]["num_test"] == 8  # Tracks.
  leakage = read["leakage"]
  assert leakage["floor"].startswith("random weights")
  assert leakage["ceiling"].startswith("supervised")
  assert {"identity", "yaw", "light", "expression"} <= set(leakage["factors"])


def test_saved_probes_give_the_same_on_the_same_images(
  run, evaluated, tmp_path
):
  workdir, data = run
  code = command(
    workdir=workdir,
    output=tmp_path,
    data=f"tracks:{data}",
    probes=evaluated / "probes.npz",
    tasks="pose,expression",
  )
  assert code == 0
  again = results.read(tmp_path / "results.json")
  first = results.read(evaluated / "results.json")
  assert not (tmp_path / "probes.npz").exists()
  assert [task["task"] for task in again["tasks"]] == ["pose", "expression"]
  tasks = {task["task"]: task for task in first["tasks"]}
  for task in again["tasks"]:
    assert task["num_train"] == 0 and "fitted elsewhere" in task["protocol"]
    before = entries(tasks[task["task"]])
    for kind, entry in entries(task).items():
      for name, score in entry["scores"].items():
        # Pixels: float32 components, then one matrix instead of two.
        want = before[kind]["scores"][name]["value"]
        np.testing.assert_allclose(score["value"], want, rtol=1e-3)


def test_probes_of_an_earlier_call_do_not_stay(tmp_path, monkeypatch):
  monkeypatch.setattr(evaluation.report, "write", lambda *args: None)
  path = tmp_path / "probes.npz"
  for given in (None, str(tmp_path / "other.npz"), str(path)):
    path.write_bytes(b"of an earlier call")
    done = evaluation.Evaluation({}, {}, {}, {}, [], given)
    evaluation.write(tmp_path, done)
    # What was given to be applied is the user's to keep.
    assert path.exists() == (given == str(path))


def test_a_model_of_a_file_is_evaluated_as_its_run_is(run, tmp_path):
  workdir, data = run
  file = tmp_path / "small.safetensors"
  facerep_jax.load(workdir).save(file)
  code = command(
    model=file,
    output=tmp_path / "out",
    data=f"tracks:{data}",
    compare=f"{workdir},{file}",
    tasks="pose,reconstruction",
    supervised_steps=2,
  )
  assert code == 0
  read = results.read(tmp_path / "out" / "results.json")
  assert read["run"] == "small" and read["step"] == 1
  assert read["config"] == {"system": "fabnet", "preset": "demo"}
  assert read["compare"] == ["run", "small"]
  for task in read["tasks"]:
    value = {
      entry["feature"]: next(iter(entry["scores"].values()))["value"]
      for entry in task["entries"]
    }
    one = next(name for name in value if name.startswith("fabnet"))
    assert value[f"small: {one}"] == value[one]
    # But for float16, the run that it was written of.
    np.testing.assert_allclose(value[f"run: {one}"], value[one], rtol=0.05)
    assert any(name.startswith("random weights") for name in value)
  kinds = [entry["kind"] for entry in read["tasks"][0]["entries"]]
  assert "supervised" in kinds and "random" in kinds


@pytest.mark.parametrize(
  ("change", "text"),
  [
    ({"tasks": "pose,nose"}, "'nose' is none of landmarks, pose"),
    ({"tasks": "verification"}, "the labels for verification"),
    ({"tasks": "leakage"}, "the labels for leakage, or other options"),
    ({"data": "nothing:here"}, "labelled data 'nothing:here'"),
    ({"data": "tracks:{tmp}/nowhere"}, "nowhere"),
    ({"folds": 1}, "--folds=1"),
    ({"folds": -2}, "--folds=-2"),
    ({"supervised_steps": -1}, "--supervised-steps=-1"),
    ({"output": "{tmp}/file"}, "{tmp}/file"),
    ({"output": "{tmp}/file/under"}, "{tmp}/file/under"),
    ({"probes": "{tmp}/file"}, "not a file of linear probes"),
    ({"probes": "{tmp}/foreign.npz"}, "foreign.npz"),
    ({"probes": "{tmp}/none.npz"}, "no such file"),
    ({"compare": "{tmp}/a/run,{tmp}/b/run"}, "two runs are called 'run'"),
    ({"compare": "{tmp}/a/run"}, "has no config.json"),
    ({"workdir": "{tmp}/a"}, "has no config.json"),
    ({"workdir": "{tmp}/fresh"}, "no checkpoint yet"),
    ({"crop": "nose"}, "invalid choice: 'nose'"),
    (
      {"model": "nose"},
      "expected one of --workdir=RUN and --model=NAME, got b",
    ),
    ({"compare": "nose"}, "nose: neither a run's folder, a file nor a model"),
  ],
)
def test_what_cannot_be_done_ends_in_one_line(
  run, tmp_path, capsys, change, text
):
  workdir, data = run
  (tmp_path / "file").write_text("text")
  (tmp_path / "fresh").mkdir()
  shutil.copy(workdir / "config.json", tmp_path / "fresh")
  one = linear_probe.ridge(np.eye(4), np.eye(4), np.arange(4))
  probe_file.save(tmp_path / "foreign.npz", {"yaw": one}, {})
  options = {
    "workdir": workdir,
    "output": tmp_path / "out",
    "data": f"tracks:{data}",
    "tasks": "pose",
    "supervised_steps": 0,
  }
  options |= {
    k: v.format(tmp=tmp_path) if isinstance(v, str) else v
    for k, v in change.items()
  }
  assert command(**options) == 1
  said = capsys.readouterr().err.splitlines()
  assert [line for line in said if line.startswith("error: ")] == said[-1:]
  assert text.format(tmp=tmp_path) in said[-1]
  assert not (tmp_path / "out" / "results.json").exists()


def test_tasks_that_cannot_be_done_leave_the_others(
  run, tmp_path, capsys, monkeypatch
):
  workdir, data = run
  ridge = probe_tasks.run

  def fail(study, task, fitted):
    if task == "landmarks":
      raise errors.InputError("points of another kind.")
    return ridge(study, task, fitted)

  monkeypatch.setattr(probe_tasks, "run", fail)
  code = command(
    workdir=workdir,
    output=tmp_path,
    data=f"tracks:{data}",
    tasks="attributes,landmarks,pose,verification",
    supervised_steps=0,
  )
  said = capsys.readouterr().err.splitlines()
  assert code == 1
  assert [line for line in said if line.startswith("error: ")] == said[-1:]
  assert (
    f"{tmp_path}: holds the rest, but not measured: attributes:" in (said[-1])
  )
  assert "the labels for attributes (attributes), or other" in said[-1]
  assert "the labels for verification, or other" in said[-1]
  assert "landmarks: points of another kind." in said[-1]
  read = results.read(tmp_path / "results.json")
  assert [task["task"] for task in read["tasks"]] == ["pose"]
  assert set(entries(read["tasks"][0])) == {"run", "random", "pixels", "hog"}


def test_only_one_set_can_have_the_matrix(run, tmp_path, capsys):
  workdir, data = run
  code = command(
    f"--data=tracks:{data}:memory=yes",
    workdir=workdir,
    output=tmp_path,
    data=f"tracks:{data}",
    tasks="leakage",
  )
  assert code == 1
  assert "more than one set" in capsys.readouterr().err.splitlines()[-1]


def test_photos_of_all_parts_are_cut_alike(monkeypatch, caplog):
  def face(share):
    """A detector of a face over so much of each bright image's side."""

    def detect(image):
      side = image.shape[0]
      box = [[0, 0, share * side, share * side, 1]] if image[0, 0, 0] else []
      return np.array(box, np.float32).reshape(-1, 5)

    return detect

  def part(level):
    picture = np.full((48, 48, 3), level, np.uint8)
    return made_up.labelled(
      [0], 2, cut="photo", read=lambda i: picture, labels={}
    )

  parts = [part(0), part(200)]  # In the first one, no face is found.
  for share, kind in ((0.9, "whole"), (0.4, "face")):
    monkeypatch.setattr(
      crop_choice.detect,
      "make_detector",
      lambda model=None, share=share: face(share),
    )
    cut = task_inputs.find_face(parts)
    assert cut(parts[1].read(0))[1] == kind
    assert cut(parts[0].read(0))[1] == "whole"
    assert "a face found in 2 of 4 looked at" in caplog.messages[-1]
  tight = dataclasses.replace(parts[0], cut="face")
  assert task_inputs.find_face([tight]) is None


def test_kept_features_are_those_of_this_run(run, tmp_path, small):
  """The second call computes nothing, and measures the same."""
  workdir, data = run

  def evaluate_once(*more):
    code = command(
      *more,
      workdir=workdir,
      output=tmp_path / "out",
      data=f"tracks:{data}",
      tasks="pose",
      supervised_steps=0,
    )
    assert not code
    return results.read(tmp_path / "out" / "results.json")

  first = evaluate_once("--no-cache")
  assert evaluate_once() == first
  with pytest.MonkeyPatch.context() as patch:
    for name in ("_hog", "_embedded"):
      patch.setattr(features, name, None)
    assert evaluate_once() == first
  assert {path.suffix for path in small.folder.iterdir()} == {".npy"}


def test_a_quick_evaluation_says_so(run, tmp_path, capsys):
  workdir, data = run
  folder = tmp_path / "out"
  code = command(
    "--quick", workdir=workdir, output=folder, data=f"tracks:{data}"
  )
  assert not code
  found = results.read(folder / "results.json")
  assert found["quick"] is True
  assert {task["task"] for task in found["tasks"]} == READ_OUT
  for task in found["tasks"]:
    assert task["dataset"] == "tracks (quick)"
    # Of each of four test people 8 of 12 frames.
    assert task["num_test"] == 4 * 8 and task["num_people"] == 4
    assert all(entry["kind"] != "supervised" for entry in task["entries"])
  assert "Quick evaluation of run" in (folder / "report.html").read_text()
  assert "not to be cited" in capsys.readouterr().out
