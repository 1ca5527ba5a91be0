"""Kill -9 at 20 random moments each; what comes of it equals the undisturbed.

Run with -m slow. The moments are drawn from seeds, as shares of the time that
the undisturbed process takes, so that they differ from machine to machine.
"""

import json
import multiprocessing
import pathlib
import shutil
import time

import numpy as np
import pytest
from PIL import Image

from facerep_jax.files import atomic
from facerep_jax.inference import probe_file
from facerep_jax.tracks import tfrecord
from tests import kill_targets, small_runs, tiny
from tests.evaluators import made_up

NUM_KILLS = 20
_LIMIT_S = 900
# Processes begin as copies of one that has imported everything.
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["tests.kill_targets"])
# Differ between two runs of the same computation.
_TIMES = ("date",)


def _run(target, arguments, kill_after_s=None):
  """Runs a process to its end, or kills it; returns whether it ended."""
  process = CONTEXT.Process(target=target, args=arguments)
  process.start()
  process.join(_LIMIT_S if kill_after_s is None else kill_after_s)
  if process.is_alive():
    process.kill()
    process.join()
    assert kill_after_s is not None, "hangs"
    return False
  assert process.exitcode == 0
  return True


def _check_whole(folder):
  """Opens every file that has the name of a whole one."""
  for path in pathlib.Path(folder).rglob("*"):
    # Orbax writes to folders of such names.
    is_unfinished = "-tmp" in str(path) or path.suffix == atomic.SUFFIX
    if is_unfinished or not path.is_file():
      continue
    if path.suffix == ".json":
      json.loads(path.read_text())
    if path.suffix == ".png":
      Image.open(path).load()
    if path.suffix == ".npz":
      with np.load(path, allow_pickle=False) as arrays:
        assert all(arrays[name] is not None for name in arrays.files)
    if ".tfrecord" in path.name and path.suffix != ".index":
      list(tfrecord.read_records(path))


def _study(target, inputs, folder, content, seed):
  """Kills a target again and again; compares what it leaves at last.

  Args:
    target: One of `kill_targets`, whose last argument is where it writes.
    inputs: Its other arguments.
    folder: For the outputs.
    content: Of an output, what must be the same.
    seed: Of the moments.
  """
  rng = np.random.default_rng(seed)
  _run(target, (*inputs, str(folder / "warm")))  # Compiles, where it has to.
  begin = time.monotonic()
  _run(target, (*inputs, str(folder / "whole")))
  taken_s = time.monotonic() - begin
  want = content(folder / "whole")
  assert want == content(folder / "warm")
  output, num_kills, num_ends = folder / "killed", 0, 0
  while num_kills < NUM_KILLS or not num_ends:
    if _run(target, (*inputs, str(output)), rng.uniform(0, taken_s)):
      num_ends += 1
      assert content(output) == want
      shutil.rmtree(output)
    else:
      num_kills += 1
      if output.exists():
        _check_whole(output)
  _run(target, (*inputs, str(output)))
  assert content(output) == want
  print(
    f"{target.__name__}: {taken_s:.1f} s undisturbed, {num_kills} kills, "
    f"{num_ends + 1} ends, all the same"
  )


@pytest.fixture(scope="module")
def frames(tmp_path_factory):
  """Folders of frames of 12 people."""
  root = tmp_path_factory.mktemp("frames")
  rng = np.random.default_rng(0)
  for person in range(12):
    place = root / f"p{person}" / "v" / "t"
    place.mkdir(parents=True)
    for i in range(24):
      pixels = rng.integers(0, 256, (9, 9, 3), "u1").repeat(16, 0).repeat(16, 1)
      Image.fromarray(pixels).save(place / f"{i}.jpg")
  return str(root)


@pytest.fixture(scope="module")
def small_run(tmp_path_factory):
  """Folders of a small run and of its labelled tracks."""
  folder = tmp_path_factory.mktemp("small")
  data = made_up.write_tracks(folder / "tracks")
  _run(kill_targets.small_run, (str(folder / "run"), data))
  return str(folder / "run"), data


def _bytes(folder):
  return {
    path.name: path.read_bytes()
    for path in folder.iterdir()
    if path.is_file() and path.suffix != atomic.SUFFIX
  }


@pytest.mark.slow
def test_tracks(frames, tmp_path):
  def content(folder):
    assert not (folder / ".parts").exists()
    return _bytes(folder)

  _study(kill_targets.tracks, (frames,), tmp_path, content, 1)


@pytest.mark.slow
def test_embedding_of_a_folder(small_run, tmp_path):
  rng = np.random.default_rng(0)
  photos = tmp_path / "photos"
  photos.mkdir()
  for i in range(300):
    pixels = rng.integers(0, 256, (40, 40, 3), "u1")
    Image.fromarray(pixels).save(photos / f"{i}.png")

  def content(folder):
    with np.load(folder / "features.npz") as arrays:
      return {name: arrays[name].tobytes() for name in arrays.files}

  study = (kill_targets.embedded, (small_run[0], str(photos)))
  _study(*study, tmp_path, content, 2)


@pytest.mark.slow
def test_evaluation(small_run, tmp_path):
  def content(folder):
    results = json.loads((folder / "results.json").read_text())
    assert (folder / "report.html").read_text().endswith("</html>\n")
    probes, meta = probe_file.load(folder / "probes.npz")
    weights = {k: x.weights.tobytes() for k, x in probes.items()}
    return {k: v for k, v in results.items() if k not in _TIMES}, weights, meta

  _study(kill_targets.evaluated, small_run, tmp_path, content, 3)


@pytest.mark.slow
def test_training_of_both_stages(tmp_path_factory, tmp_path):

  data = tiny.write_tracks(tmp_path_factory.mktemp("tracks"))

  def content(folder):
    found = {}
    for stage in ("autoencoder", "diffusion"):
      place = folder / stage
      assert json.loads((place / "done.json").read_text()) == {"step": 8}
      found[stage] = small_runs.readings(place)
      pictures = sorted((place / "pictures").glob("step_*.png"))
      found[stage, "pictures"] = [x.read_bytes() for x in pictures]
    found["codes"] = (folder / "diffusion" / "codes.npy").read_bytes()
    return found

  _study(kill_targets.trained, (data,), tmp_path, content, 4)
