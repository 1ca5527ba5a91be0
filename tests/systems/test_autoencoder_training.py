import jax
import numpy as np
import pytest

from facerep_jax.models import vgg
from facerep_jax.systems import base
from facerep_jax.training import loop, setup, summary
from tests import small_runs, tiny, tiny_face

pytestmark = pytest.mark.usefixtures("compiled_once")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
  return tiny.write_tracks(tmp_path_factory.mktemp("tracks"))


@pytest.fixture(autouse=True)
def _optax_mixes_types():
  with jax.numpy_dtype_promotion("standard"):
    yield


@pytest.fixture(scope="module")
def whole(data, tmp_path_factory, compiled_once):
  """A run of six steps without confidence, where the loss is an error."""
  folder = tmp_path_factory.mktemp("whole")
  config = tiny_face.config(
    data,
    model__use_confidence=False,
    model__perceptual="none",
    every__pictures=0,
  )
  with jax.numpy_dtype_promotion("standard"):
    _, state = small_runs.fit(config, folder)
  return folder, config, jax.device_get(state)


def test_loss_falls(whole):
  losses = [
    line["loss"]
    for line in small_runs.readings(whole[0])
    if line["split"] == "train"
  ]
  assert len(losses) == 3 and losses[2] < 0.9 * losses[0]


def test_resuming_equals_not_stopping(whole, tmp_path):
  folder, config, state = whole
  part = config.copy_and_resolve_references()
  part.steps = 3
  small_runs.fit(part, tmp_path)
  prepared, resumed = small_runs.fit(config, tmp_path)
  assert prepared.start == 3
  assert small_runs.readings(folder) == small_runs.readings(tmp_path)
  jax.tree.map(np.testing.assert_array_equal, state, jax.device_get(resumed))


def test_summary_at_the_end(whole, tmp_path):
  examples = whole[0] / "examples"
  data = tiny.write_tracks(tmp_path / "tracks", recordings=2)
  values = summary.measure(whole[0], data, examples)
  assert list(examples.glob("*.png"))
  assert 0 < values["test"]["l1"] < 0.5
  assert values["test"]["num_dropped"] == 0
  assert set(values["yaw_probe"]) == {"trained", "random_weights"}
  for name in ("r", "slope"):
    value, low, high = (
      values["viewpoint"][name + end] for end in ("", "_low", "_high")
    )
    assert 0 <= low <= value <= high
  assert values["identification"]["trained"]["feature"] == "raw"
  assert values["people"]["trained"]["num_people"] == 3
  lines = summary.report(values)
  for words in ("mean colour", "viewpoint: yaw |r| ", "people: "):
    assert any(words in line for line in lines)


def test_another_run_and_a_file_give_weights(data, whole, tmp_path):
  rng = np.random.default_rng(0)
  state, channels = {}, 3
  widths = [w for block in vgg.Vgg16Features().widths for w in block]
  for layer, features in zip((0, 2, 5, 7, 10, 12, 14), widths):
    shape = (features, channels, 3, 3)
    state[f"features.{layer}.weight"] = rng.normal(size=shape).astype("f4")
    state[f"features.{layer}.bias"] = np.zeros(features, np.float32)
    channels = features
  path = tmp_path / "vgg16.npz"
  np.savez(path, **state)
  folder, config, first = whole
  config = config.copy_and_resolve_references()
  config.init_from = str(folder)
  config.model.update(
    frozen=("light",), perceptual="vgg16", vgg16_path=str(path)
  )
  prepared, state_now = setup.prepare(
    config, tmp_path / "second", data, jax.devices()[:1]
  )
  frozen = jax.device_get(prepared.frozen)
  assert set(frozen) == {"light", "features"}
  same = np.testing.assert_array_equal
  jax.tree.map(same, frozen["light"], first.params["light"])
  for name in ("depth", "albedo", "view"):
    jax.tree.map(
      same, jax.device_get(state_now.params[name]), first.params[name]
    )
  want = state["features.7.weight"].transpose(2, 3, 1, 0)
  same(frozen["features"]["conv3"]["kernel"], want)
  # Saved with the run: going on and using it need no file.
  again = prepared.checkpoints.restore_frozen(prepared.frozen, prepared.mesh)
  jax.tree.map(same, frozen, jax.device_get(again))


def test_what_the_system_cannot_go_on_with_ends_the_run(data, tmp_path, whole):
  def fail(prepared):
    prepared.system = prepared.system._replace(
      diagnose=lambda values: [
        base.Finding("odd", "it is odd."),
        base.Finding("bad", "it is wrong.", is_fatal="loss" in values),
      ]
    )

  with pytest.raises(loop.FailureError) as caught:
    small_runs.fit(whole[1], tmp_path, hook=fail)
  text = str(caught.value)
  assert text.startswith("step 2, training: it is wrong. Last good checkpoint")
  assert text.endswith("none was saved yet.") and "\n" not in text


def test_warnings_come_once_in_a_while(monkeypatch, caplog, tmp_path, whole):
  def warn(prepared):
    prepared.system = prepared.system._replace(
      diagnose=lambda values: [
        base.Finding("shape", "shape is flat."),
        base.Finding("view", f"view {values['loss']} low."),
      ]
    )

  monkeypatch.setattr(loop, "_FIRST_WARNING", 3)
  monkeypatch.setattr(loop, "_STEPS_BETWEEN_WARNINGS", 3)
  with caplog.at_level("WARNING", "facerep_jax"):
    small_runs.fit(whole[1], tmp_path, hook=warn)
  said = [r.getMessage() for r in caplog.records if "step" in r.getMessage()]
  # Lines of steps 2, 4 and 6: the first is too early, the last too soon after.
  assert len(said) == 2 and all(s.startswith("step 4: ") for s in said)
