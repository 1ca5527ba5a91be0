import json
import shutil
import signal

import jax
import numpy as np
import pytest

import facerep_jax
from facerep_jax import errors
from facerep_jax.data import whole_tracks
from facerep_jax.inference import sheets
from facerep_jax.runs import configuration
from facerep_jax.training import experiment, loop, setup, summary, wccn
from tests import small_runs, tiny, tiny_face

pytestmark = pytest.mark.usefixtures("compiled_once")
ONE = jax.devices()[:1]  # Eight would only compile longer.


@pytest.fixture(scope="module")
def data(tmp_path_factory):
  return tiny.write_tracks(tmp_path_factory.mktemp("tracks"))


@pytest.fixture(autouse=True)
def _optax_mixes_types():
  with jax.numpy_dtype_promotion("standard"):
    yield


@pytest.fixture
def config(data):
  """Of runs that are to equal `whole`; the pictures of that one will do."""
  config = tiny_face.lean(data)
  config.autoencoder.every.pictures = config.diffusion.every.pictures = 0
  return config


@pytest.fixture(autouse=True)
def _no_looks(monkeypatch):
  """Looks at what was learned take long; the module's own run has them."""
  monkeypatch.setattr(experiment.examples, "write", lambda workdir: None)
  monkeypatch.setattr(experiment, "_look", lambda *args: None)


@pytest.fixture(scope="module")
def whole(data, tmp_path_factory, compiled_once):
  """A run of both stages."""
  folder = tmp_path_factory.mktemp("whole")
  with (
    jax.numpy_dtype_promotion("standard"),
    pytest.MonkeyPatch.context() as patch,
  ):
    patch.setattr(summary, "_NUM_EXAMPLES", 4)
    patch.setattr(sheets, "FILM_PX", 32)
    patch.setattr(sheets, "FILM_FRAMES", 3)
    experiment.run(tiny_face.lean(data), folder, ONE)
  return folder


def test_both_stages_leave_what_belongs_to_them(whole, data):
  for name in ("autoencoder", "diffusion"):
    place = whole / name
    assert json.loads((place / "done.json").read_text()) == {"step": 6}
    assert (place / "summary.json").is_file()
    assert list((place / "pictures").glob("*.png"))
    assert small_runs.readings(place)[-1]["step"] == 6
  assert len(list((whole / "examples").glob("*.png"))) == 4
  embedded = np.load(whole / "examples.npz")
  assert embedded["fer"].shape == (4, 32)
  kinds = ("views", "frontal", "relight", "neutral", "transfer", "maps")
  for kind in kinds:
    assert (whole / "faces" / f"{kind}-001.png").is_file(), kind
  assert len(list((whole / "faces").rglob("*.gif"))) == 8
  model = facerep_jax.load(whole)
  images = np.random.default_rng(0).integers(0, 255, (3, 64, 64, 3), "u1")
  features = model.embed(images)
  assert {"identity", "expression", "fer", "verification"} <= set(features)
  first = facerep_jax.load(whole / "autoencoder")
  assert set(first.embed(images)) == {
    *("albedo_code", "depth_code", "view", "light")
  }
  # Stage 2 holds the weights of stage 1, and adds to what it says.
  codes = first.embed(images)
  for name, value in codes.items():
    np.testing.assert_allclose(features[name], value, rtol=1e-4, atol=1e-5)
  np.testing.assert_allclose(
    features["identity"] + features["expression"],
    np.concatenate([codes["albedo_code"], codes["depth_code"]], axis=1),
    rtol=1e-4,
    atol=1e-4,
  )


def test_features_are_the_same_alone_and_in_any_batch(whole):
  model = facerep_jax.load(whole)
  images = np.random.default_rng(1).integers(0, 255, (9, 64, 64, 3), "u1")
  batch = model.embed(images)
  again = facerep_jax.load(whole).embed(images)
  alone = [model.embed(image[None]) for image in images]
  for name, value in batch.items():
    np.testing.assert_array_equal(value, again[name])
    np.testing.assert_array_equal(
      value, np.concatenate([one[name] for one in alone]), err_msg=name
    )
    # Other sizes of batches are other programs: float32 rounding.
    np.testing.assert_allclose(
      value, model.embed(images, batch_size=8)[name], rtol=1e-4, atol=1e-5
    )


def test_a_trained_run_is_left_as_it_is(whole, config, capsys, caplog):
  before = {p: p.stat().st_mtime_ns for p in whole.rglob("*.json*")}
  with caplog.at_level("INFO", "facerep_jax"):
    experiment.run(config, whole, ONE)
  assert "stage autoencoder: done, step 6" in caplog.text
  assert "stage diffusion: done, step 6" in caplog.text
  after = {p: p.stat().st_mtime_ns for p in whole.rglob("*.json*")}
  root = whole / "config.json"  # Written anew, the same.
  del before[root], after[root]
  assert before == after


@pytest.mark.parametrize("name", ["fabnet", "latentface"])
def test_adapting_asks_for_tracks(name, tmp_path):
  config = configuration.from_file(f"configs/{name}.py:adapt")
  with pytest.raises(errors.InputError, match=r"config\.data\.path: needed"):
    experiment.run(config, tmp_path / "run", ONE)
  assert not (tmp_path / "run").exists()


def test_weights_of_later_stages_are_looked_at_first(config, tmp_path):
  config.diffusion.init_from = str(tmp_path / "absent.safetensors")
  with pytest.raises(errors.InputError, match=r"absent\.safetensors: no such"):
    experiment.run(config, tmp_path / "run", ONE)
  assert not (tmp_path / "run").exists()


def take_over(whole, folder):
  """Begins a run whose first stage is done."""
  shutil.copytree(whole / "autoencoder", folder / "autoencoder")


@pytest.mark.parametrize(
  "stage", [pytest.param("autoencoder", marks=pytest.mark.slow), "diffusion"]
)
def test_going_on_after_a_kill_in_either_stage(
  whole, config, tmp_path, stage, monkeypatch
):
  class Killed(Exception):
    pass

  prepare = setup.prepare

  def until(config, place, *args, **kwargs):
    prepared, state = prepare(config, place, *args, **kwargs)
    if config.stage == stage and prepared.start == 0:
      step = prepared.train_step

      def count(state, *rest):
        if int(state.step) == 4:
          raise Killed
        return step(state, *rest)

      prepared.train_step = count
    return prepared, state

  if stage == "diffusion":
    take_over(whole, tmp_path)
  monkeypatch.setattr(experiment.setup, "prepare", until)
  with pytest.raises(Killed):
    experiment.run(config, tmp_path, ONE)
  experiment.run(config, tmp_path, ONE)
  for name in ("autoencoder", "diffusion"):
    assert small_runs.readings(tmp_path / name) == small_runs.readings(
      whole / name
    )


def test_sigterm_in_the_first_stage_ends_the_run(config, tmp_path, monkeypatch):
  device_batches = loop.device_batches

  def stop(run, step):
    for batch in device_batches(run, step):
      signal.raise_signal(signal.SIGTERM)
      yield batch

  monkeypatch.setattr(loop, "device_batches", stop)
  assert experiment.run(config, tmp_path, ONE) == 0
  monkeypatch.setenv("FACEREP_STOPPED_EXIT_CODE", "75")
  assert experiment.run(config, tmp_path, ONE) == 75
  assert not (tmp_path / "autoencoder" / "done.json").exists()
  assert not (tmp_path / "diffusion").exists()


def test_codes_from_the_cache_train_as_frames_do(whole, config, tmp_path):
  for kind in ("frames", "codes"):
    take_over(whole, tmp_path / kind)
  config.diffusion.data.cache_codes = False
  config.diffusion.steps = 2
  config.diffusion.every.update(log=1, pictures=0)
  experiment.run(config, tmp_path / "frames", ONE)
  config.diffusion.data.cache_codes = True
  experiment.run(config, tmp_path / "codes", ONE)
  frames, codes = (
    small_runs.readings(tmp_path / kind / "diffusion")
    for kind in ("frames", "codes")
  )
  assert [x["step"] for x in codes] == [x["step"] for x in frames]
  # Codes in float32 from two programs; the second step follows the first.
  for a, b in zip(frames, codes):
    np.testing.assert_allclose(a["loss"], b["loss"], rtol=1e-3)
  assert not (tmp_path / "frames" / "diffusion" / "codes.npy").exists()


def test_a_stage_takes_the_devices_that_divide_its_batch(
  whole, config, tmp_path, caplog
):
  assert jax.device_count() == 8
  take_over(whole, tmp_path)
  config.diffusion.batch_size = 6
  config.diffusion.steps = 2
  config.diffusion.every.update(log=1, eval=2, pictures=0)
  with caplog.at_level("INFO", "facerep_jax"):
    assert experiment.run(config, tmp_path) == 0
  text = "a batch of 6 does not divide among 8 devices: 6 of them are used."
  assert caplog.text.count(text) == 1
  (meta,) = (tmp_path / "diffusion/checkpoints").glob("2/meta/metadata")
  assert json.loads(meta.read_text())["num_devices"] == 6
  losses = [
    line["loss"] for line in small_runs.readings(tmp_path / "diffusion")
  ]
  assert len(losses) == 3 and np.isfinite(losses).all()


def test_stages_out_of_order_are_refused(whole, config, tmp_path):
  config.stage = "diffusion"
  with pytest.raises(errors.InputError, match="autoencoder: is not trained to"):
    experiment.run(config, tmp_path, ONE)
  config.stage = "all"
  config.autoencoder.steps = 9
  with pytest.raises(errors.InputError, match="the stage diffusion rests on"):
    experiment.run(config, whole, ONE)
  config.autoencoder.steps = 6
  config.diffusion.model.width = 32
  with pytest.raises(errors.InputError, match=r"model.width \(there 16, here"):
    experiment.run(config, whole, ONE)
  config.diffusion.model.width = 16
  used = whole / "diffusion" / "stages_used.json"
  text = used.read_text()
  used.write_text(json.dumps({"autoencoder": "0"}))
  (whole / "diffusion" / "done.json").rename(whole / "done.json")
  try:
    with pytest.raises(errors.InputError, match="began with other weights"):
      experiment.run(config, whole, ONE)
  finally:
    used.write_text(text)
    (whole / "done.json").rename(whole / "diffusion" / "done.json")


def test_wccn_is_that_of_training_frames(whole, data):
  model = facerep_jax.load(whole)
  source = setup.track_source.TrackSource(data, "train")
  rule, _ = configuration.sampling(model.config, num_frames=3, size_px=64)
  tracks = whole_tracks.WholeTracks(source, rule)
  codes, person = [], []
  for i in range(len(source)):
    frames = tracks[i]
    frames = frames[np.unique(np.linspace(0, len(frames) - 1, 4).astype(int))]
    both = np.concatenate([frames, frames[:, :, ::-1]])
    both = np.asarray(model.system.encode(model.variables.frozen, both))
    codes.append((both[: len(frames)] + both[len(frames) :]) / 2)
    person += [source.index.person[i]] * len(frames)
  want = wccn.fit(np.concatenate(codes), np.array(person))
  for name, value in model.variables.frozen["wccn"].items():
    scale = np.abs(want[name]).max()
    # Codes of other batches: sums in another order.
    np.testing.assert_allclose(
      value, want[name], atol=1e-3 * scale, err_msg=name
    )


def test_statistics_are_those_of_training_frames(whole, data):
  model = facerep_jax.load(whole)
  source = setup.track_source.TrackSource(data, "train")
  rule, _ = configuration.sampling(model.config, num_frames=3, size_px=64)
  tracks = whole_tracks.WholeTracks(source, rule)
  frames = np.concatenate([tracks[i] for i in range(len(source))])
  codes = np.asarray(model.system.encode(model.variables.frozen, frames))
  for i, name in enumerate(("albedo", "depth")):
    found = model.variables.frozen["statistics"][name]
    part = codes[:, 8 * i : 8 * i + 8]
    # Sums in another order.
    np.testing.assert_allclose(
      found["mean"], part.mean(axis=0), rtol=1e-4, atol=1e-5
    )
    deviation = part.std(axis=0)
    # A number that is rarely on counts as a tenth of the mean at least.
    least = 0.1 * deviation.mean()
    np.testing.assert_allclose(
      found["deviation"], np.maximum(deviation, least), rtol=1e-3
    )
