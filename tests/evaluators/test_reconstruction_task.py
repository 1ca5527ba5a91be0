import jax
import numpy as np
import pytest

from facerep_jax.evaluators import reconstruction_task
from facerep_jax.inference import api
from facerep_jax.training import summary
from tests import tiny
from tests.evaluators import made_up


@pytest.fixture(scope="module")
def made(tmp_path_factory):
  folder = tiny.write_tracks(tmp_path_factory.mktemp("held_out") / "tracks")
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(jax, "local_devices", lambda: jax.devices()[:1])
    return api.untrained(tiny.config(folder)), folder


def test_copying_the_source_is_what_the_system_calls_it(made):
  model, folder = made
  images, group = reconstruction_task.rebuilt(model, folder)
  assert group.tolist() == ["p09", "p10", "p11"]
  assert images["target"].shape == (3, 32, 32, 3)
  want = summary.held_out(model, folder)
  error = {
    name: np.abs(image - images["target"]).mean()
    for name, image in images.items()
  }
  # Float32 sums in another order.
  np.testing.assert_allclose(
    error["copy of the source"], want["loss_copy"], rtol=1e-5
  )
  np.testing.assert_allclose(error["reconstruction"], want["loss"], rtol=1e-5)


def test_each_network_is_measured_and_baselines_once(made):
  model, folder = made
  networks = made_up.Networks(model, {"other": model}, recipe=None)
  task = reconstruction_task.run(networks, folder)
  told = [(entry["feature"], entry["kind"]) for entry in task["entries"]]
  assert told == [
    ("fabnet", "run"),
    ("copy of the source", "baseline"),
    ("random weights", "random"),
    ("other: fabnet", "compare"),
  ]
  assert (task["num_test"], task["num_people"]) == (3, 3)
  scores = {entry["kind"]: entry["scores"] for entry in task["entries"]}
  assert scores["run"] == scores["compare"] == scores["random"]
  want = summary.held_out(model, folder)["loss_copy"]
  np.testing.assert_allclose(scores["baseline"]["l1"].value, want, rtol=1e-5)
  assert task["entries"][0]["dim"] == 32 * 32 * 3


def test_short_tracks_are_rebuilt_whatever_training_asks_for(made):
  model, folder = made
  before = reconstruction_task.rebuilt(model, folder)
  model.config.data.update(min_frames=99)
  try:
    images, group = reconstruction_task.rebuilt(model, folder)
  finally:
    model.config.data.update(min_frames=0)
  np.testing.assert_array_equal(group, before[1])
  np.testing.assert_array_equal(
    images["reconstruction"], before[0]["reconstruction"]
  )
