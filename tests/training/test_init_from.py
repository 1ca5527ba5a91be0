import jax
import numpy as np
import pytest

from facerep_jax import errors, sharding
from facerep_jax.convert import unsup3d
from facerep_jax.inference import packaged
from facerep_jax.systems import base
from facerep_jax.training import init_from, setup
from tests import made_up_models, tiny, tiny_face


@pytest.fixture(scope="module")
def published():
  """Weights as the published code stores them, of the tiny size."""
  config = tiny_face.config("", model__use_confidence=False)
  system = base.build(config)
  shapes = jax.eval_shape(system.init, jax.random.key(0)).params
  rng = np.random.default_rng(0)
  params = jax.tree.map(
    lambda x: rng.normal(size=x.shape).astype(np.float32), shapes
  )
  flat = {
    f"{net}.{name}": value
    for net, state in unsup3d.to_torch(params).items()
    for name, value in state.items()
  }
  return params, flat | {"optimizerA.step": np.ones(1)}


def read(path, **changes):
  config = tiny_face.config(
    "", init_from=str(path), model__use_confidence=False, **changes
  )
  abstract = jax.eval_shape(base.build(config).init, jax.random.key(0))
  mesh = sharding.make_mesh(jax.devices()[:1])
  return init_from.read(config, abstract, mesh)


def test_published_weights_of_a_file(published, tmp_path):
  params, flat = published
  np.savez(tmp_path / "weights.npz", **flat)
  found, num_moves = read(tmp_path / "weights.npz")
  jax.tree.map(
    np.testing.assert_array_equal, params, jax.device_get(found.params)
  )
  assert num_moves == 0 and found.frozen == {}


def test_networks_that_do_not_learn_are_taken_too(published, tmp_path):
  params, flat = published
  np.savez(tmp_path / "weights.npz", **flat)
  found, _ = read(tmp_path / "weights.npz", model__frozen=("light",))
  assert set(found.frozen) == {"light"} and "light" not in found.params
  jax.tree.map(
    np.testing.assert_array_equal,
    params["light"],
    jax.device_get(found.frozen["light"]),
  )


def test_weights_of_another_size_are_refused_with_all_that_differs(
  published, tmp_path
):
  np.savez(tmp_path / "weights.npz", **published[1])
  with pytest.raises(errors.InputError) as caught:
    read(tmp_path / "weights.npz", model__code_dim=12)
  text = str(caught.value)
  assert (
    "do not fit config.autoencoder.model: params/albedo/decoder/seed/kernel"
    in text
  )
  assert "params/depth/encoder/code/kernel: there" in text


def test_what_is_no_weights_is_refused(tmp_path):
  with pytest.raises(errors.InputError, match="no config.json"):
    read(tmp_path / "absent")
  (tmp_path / "weights.pth").write_bytes(b"nothing")
  with pytest.raises(errors.InputError, match="weights.pth"):
    read(tmp_path / "weights.pth")


ONE = jax.devices()[:1]


def own(tmp_path, kind, **changes):
  """A made-up model and the path of its file."""
  model = made_up_models.representation(kind, **changes)
  path = tmp_path / f"{kind}.safetensors"
  model.save(path)
  return model, str(path)


def take(kind, start, wanted=None, **changes):
  config = made_up_models.config(kind, init_from=start, **changes)
  wanted = wanted or made_up_models.variables(config, seed=1)
  return init_from.read(config, wanted, sharding.make_mesh(ONE))[0]


def assert_taken(got, want):
  """Checks that weights are others' to float16."""
  jax.tree.map(
    lambda a, b: np.testing.assert_array_equal(a, np.float32(np.float16(b))),
    jax.device_get(got),
    want,
  )


def test_a_run_starts_from_the_file_of_a_model(tmp_path, monkeypatch):
  masked = {"model__use_mask": True, "model__frozen": ("encoder",)}
  model, _ = own(tmp_path / "weights", "fabnet", **masked)
  monkeypatch.setattr(packaged, "FOLDER", tmp_path / "weights")
  config = made_up_models.config(
    "fabnet",
    tiny.write_tracks(tmp_path / "tracks"),
    init_from="fabnet",
    ema_decay=0.5,
    model__frozen=("flow_decoder",),
  )
  prepared, state = setup.prepare(
    config, tmp_path / "run", config.data.path, ONE
  )
  prepared.writer.close()
  want = model.variables.params | model.variables.frozen
  assert set(state.params) == {"encoder", "mask_decoder"}
  for part, tree in (state.params | prepared.frozen).items():
    assert_taken(tree, want[part])
  assert_taken(state.ema, {k: want[k] for k in state.params})
  # Float32 in the file too.
  jax.tree.map(
    np.testing.assert_array_equal,
    jax.device_get(state.model_state),
    model.variables.model_state,
  )


def test_masks_that_a_file_leaves_out_start_at_random(tmp_path, caplog):
  model, path = own(tmp_path, "fabnet")
  before = made_up_models.variables(made_up_models.config("fabnet"), seed=1)
  with caplog.at_level("INFO", "facerep_jax"):
    found = take("fabnet", path, before)
  for i in (0, 1):  # Parameters and statistics.
    assert found[i].keys() == before[i].keys()
    assert found[i]["mask_decoder"] is before[i]["mask_decoder"]
  assert_taken(found.params["encoder"], model.variables.params["encoder"])
  assert "holds no mask_decoder network" in caplog.text


def test_the_first_stage_starts_from_a_file_of_either(tmp_path, caplog):
  config = made_up_models.config("autoencoder")
  before = made_up_models.variables(config, seed=1)
  for kind in ("autoencoder", "diffusion"):
    model, path = own(tmp_path, kind)
    want = model.variables.frozen.get("autoencoder", model.variables.params)
    with caplog.at_level("INFO", "facerep_jax"):
      found = take("autoencoder", path, before)
    assert found.params.keys() == before.params.keys()
    # What the file leaves out stays as it was drawn.
    assert found.params["confidence"] is before.params["confidence"]
    assert f"{path} holds no confidence network: it starts at" in caplog.text
    for name in ("depth", "albedo", "light", "view"):
      assert_taken(found.params[name], want[name])
    caplog.clear()


def test_the_first_stage_can_do_without_confidence(tmp_path, caplog):
  model, path = own(tmp_path, "diffusion")
  with caplog.at_level("INFO", "facerep_jax"):
    found = take("autoencoder", path, model__use_confidence=False)
  assert_taken(
    found.params,
    {k: model.variables.frozen["autoencoder"][k] for k in found.params},
  )
  assert "confidence" not in found.params and "at random" not in caplog.text


def test_networks_that_stay_are_taken_from_a_file(tmp_path):
  model, path = own(tmp_path, "diffusion")
  found = take("autoencoder", path, model__frozen=("light",))
  assert set(found.frozen) == {"light"}
  want = model.variables.frozen["autoencoder"]
  assert_taken(found.frozen["light"], want["light"])
  with pytest.raises(errors.InputError, match="holds no confidence network"):
    take("autoencoder", path, model__frozen=("confidence",))


def test_the_second_stage_takes_the_denoisers_alone(tmp_path):
  model, path = own(tmp_path, "diffusion")
  found = take("diffusion", path)
  assert_taken(found.params, model.variables.params)
  assert found.frozen == {}


def state_of(folder):
  """Returns what tells whether anything in a folder was touched."""
  return {
    path.relative_to(folder): (
      path.is_file() and path.read_bytes(),
      *times(path),
    )
    for path in sorted([folder, *folder.rglob("*")])
  }


def times(path):
  found = path.stat()
  return found.st_mtime_ns, found.st_ctime_ns, found.st_ino


@pytest.fixture
def other_run(tmp_path):
  """Folder of a run that is at work: it writes its second checkpoint."""
  config = tiny.config(tiny.write_tracks(tmp_path / "tracks"), keep=1)
  prepared, state = setup.prepare(
    config, tmp_path / "other", config.data.path, ONE
  )
  prepared.writer.close()
  prepared.checkpoints.save(
    1, state, {"curriculum": {"num_moves": 2}}, loss=1.0
  )
  prepared.checkpoints.close()
  under_way = tmp_path / "other/checkpoints/2.orbax-checkpoint-tmp-3"
  under_way.mkdir()
  (under_way / "part").write_text("half")
  return tmp_path / "other", config, state


def test_another_run_is_read_and_left_as_it_is(other_run):
  place, config, state = other_run
  before = state_of(place)
  config.init_from = str(place)
  init_from.check(config)
  abstract = jax.eval_shape(base.build(config).init, jax.random.key(0))
  mesh = sharding.make_mesh()
  found, num_moves = init_from.read(config, abstract, mesh)
  assert state_of(place) == before
  assert num_moves == 2
  jax.tree.map(
    np.testing.assert_array_equal,
    jax.device_get(found.params),
    jax.device_get(state.params),
  )
  for leaf in jax.tree.leaves(found.params):
    assert leaf.sharding == sharding.replicated(mesh)


def test_a_run_without_checkpoints_gets_no_folder_of_them(other_run):
  place, config, _ = other_run
  config.init_from = str(place)
  (place / "checkpoints").rename(place.parent / "checkpoints")
  before = state_of(place)
  with pytest.raises(errors.InputError, match="holds no checkpoint"):
    init_from.check(config)
  assert state_of(place) == before


@pytest.mark.parametrize(
  ("kind", "of", "changes", "text"),
  [
    ("fabnet", "autoencoder", {}, "a model of fabnet, got one of latentface a"),
    ("autoencoder", "fabnet", {}, "latentface autoencoder, got one of fabnet"),
    ("diffusion", "autoencoder", {}, "face diffusion, got one of latentface a"),
    (
      "autoencoder",
      "diffusion",
      {"model__code_dim": 12},
      "do not fit config.autoencoder.model: params/albedo/decoder/seed/kernel",
    ),
    (
      "fabnet",
      "fabnet",
      {"model__embed_dim": 4},
      "do not fit config.model: params/encoder/conv4/bias: there",
    ),
  ],
)
def test_files_that_do_not_fit_are_refused(tmp_path, kind, of, changes, text):
  _, path = own(tmp_path, of)
  with pytest.raises(errors.InputError, match=text):
    take(kind, path, **changes)
