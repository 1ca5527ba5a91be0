import json

import flax.traverse_util
import jax
import numpy as np
import pytest
import safetensors.numpy

import facerep_jax
from facerep_jax import errors, sharding
from facerep_jax.inference import lean, weight_file
from facerep_jax.runs import stages
from facerep_jax.systems import base
from tests import made_up_faces, made_up_models

ONE = jax.devices()[:1]


@pytest.fixture(scope="module", params=made_up_models.KINDS)
def both(request, tmp_path_factory):
  """A model, and what is read of the file that it writes."""
  model = made_up_models.representation(request.param, "far/away/tracks")
  path = tmp_path_factory.mktemp("file") / "name.safetensors"
  assert model.save(path, summary="Two\nlines.") == path.stat().st_size
  return model, path


@pytest.fixture(scope="module")
def original(tmp_path_factory):
  path = tmp_path_factory.mktemp("small") / "fabnet.safetensors"
  made_up_models.representation("fabnet").save(path)
  return path


@pytest.fixture
def small(original, tmp_path):
  """A file to be changed."""
  path = tmp_path / "fabnet.safetensors"
  path.write_bytes(original.read_bytes())
  return path


def flat(variables):
  return flax.traverse_util.flatten_dict(
    jax.device_get(variables)._asdict(), sep="/"
  )


def rewrite(path, meta=None, arrays=None):
  """Changes metadata and arrays; the hash is that of the new arrays."""
  found = safetensors.numpy.load_file(path)
  for name, value in (arrays or {}).items():
    found.pop(name, None)
    if value is not None:
      found[name] = value
  known = weight_file.metadata(path)
  known |= {"sha256": stages.fingerprint(found)} | (meta or {})
  path.write_bytes(safetensors.numpy.save(found, known))


def test_arrays_are_those_of_the_run_in_float16(both):
  model, path = both
  loaded = facerep_jax.load(path, devices=ONE)
  assert loaded.step == 7
  want = flat(lean.variables_of(model.config, model.variables))
  got = flat(loaded.variables)
  assert got.keys() == want.keys()
  assert not any("confidence" in name for name in got)
  for name, value in want.items():
    is_wide = name.startswith(
      ("model_state/", "frozen/statistics/", "frozen/wccn/")
    )
    narrow = value if is_wide else value.astype(np.float16).astype(np.float32)
    np.testing.assert_array_equal(got[name], narrow, err_msg=name)
    assert got[name].dtype == np.float32


def test_features_are_those_of_the_run_to_float16(both):
  model, path = both
  images = made_up_faces.photos(2, model.size_px)
  want = model.embed(images, is_cropped=True)
  got = facerep_jax.load(path, devices=ONE).embed(images, is_cropped=True)
  assert got.keys() == want.keys()
  for name, value in want.items():
    # Each weight is off by up to 2**-11 of itself; what 16 layers one behind
    # the other make of that at worst.
    atol = 16 * 2**-11 * np.abs(value).max()
    np.testing.assert_allclose(got[name], value, rtol=0, atol=atol)
    assert np.ptp(value) > 0, name


def test_metadata_says_what_the_file_is(both):
  model, path = both
  found = weight_file.metadata(path)
  assert found["facerep_jax"] == weight_file.FORMAT
  assert found["system"] == model.config.system
  assert found["stage"] == model.config.get("stage", "")
  assert found["step"] == "7" and found["summary"] == "Two lines."
  assert found["library_version"]
  arrays = safetensors.numpy.load_file(path)
  assert found["sha256"] == stages.fingerprint(arrays)
  # As it was trained, without the folders of who did.
  tree = json.loads(model.config.to_json())
  tree["data"]["path"] = "tracks"
  assert json.loads(found["config"]) == tree
  assert set(tree["data"]["crop"]) >= {"frame_px"}


def test_the_network_that_only_training_needs_is_switched_off(both):
  model, path = both
  config = facerep_jax.load(path, devices=ONE).config
  first = config.model.get("autoencoder", config.model)
  if config.system == "latentface":
    assert not first.use_confidence and first.perceptual == "none"
  assert tuple(first.frozen) == ()
  before = model.config.model.get("autoencoder", model.config.model)
  assert before.get("use_confidence", True)


def test_networks_that_did_not_learn_are_in_the_file(tmp_path):
  path = tmp_path / "name.safetensors"
  model = made_up_models.representation(
    "fabnet", model__frozen=("flow_decoder",)
  )
  model.save(path)
  found = weight_file.read(path)
  assert set(found.variables.params) == {"encoder", "flow_decoder"}
  assert found.variables.frozen == {}
  kept = json.loads(found.metadata["config"])["model"]["frozen"]
  assert kept == ["flow_decoder"]


def test_masks_are_in_the_file_where_they_take_part(tmp_path):
  path = tmp_path / "name.safetensors"
  made_up_models.representation("fabnet", model__use_mask=True).save(path)
  found = weight_file.read(path).variables
  assert set(found.params) == {"encoder", "flow_decoder", "mask_decoder"}
  assert found.params.keys() == found.model_state.keys()


def test_faces_are_warped_without_the_masks_that_take_no_part(tmp_path):
  path = tmp_path / "name.safetensors"
  model = made_up_models.representation("fabnet")
  model.save(path)
  loaded = facerep_jax.load(path, devices=ONE)
  assert set(loaded.variables.model_state) == {"encoder", "flow_decoder"}
  batch = {"frames": made_up_faces.photos(2, 32)[None]}
  pictures = [
    sharding.jit_on_batch(x.system.reconstruct, x.mesh)(x.variables, batch)
    for x in (model, loaded)
  ]
  # Offsets that float16 moves by a hundredth of a pixel.
  np.testing.assert_allclose(
    pictures[1]["reconstruction"], pictures[0]["reconstruction"], atol=0.02
  )


@pytest.mark.parametrize("name", ["view", "light"])
def test_random_weights_beside_a_file_are_those_beside_the_run(name):
  config = made_up_models.config("autoencoder")
  drawn = []
  for one in (config, lean.config_of(config)):
    system = base.build(one)
    init = sharding.jit_init(
      lambda key, system=system: system.init(key).params[name],
      sharding.make_mesh(ONE),
    )
    drawn.append(init(jax.random.key(3)))
  jax.tree.map(np.testing.assert_array_equal, *drawn)


def test_a_summary_is_made_where_none_is_given(small):
  text = weight_file.metadata(small)["summary"]
  assert text.startswith("fabnet, preset demo, step 7, 0.0")


def test_all_arrays_that_do_not_fit_are_listed_at_once(small):
  changes = {
    "params/encoder/conv0/kernel": None,
    "params/encoder/conv1/kernel": np.zeros((4, 4, 4, 9), np.float16),
    "params/encoder/conv2/bias": np.zeros(16, np.float32),
    "params/nose": np.zeros(1, np.float16),
  }
  rewrite(small, arrays=changes)
  with pytest.raises(errors.InputError) as caught:
    weight_file.read(small)
  text = str(caught.value)
  assert "\n" not in text
  for part in (
    "params/encoder/conv0/kernel is absent, expected float16[",
    "params/encoder/conv1/kernel is float16[4, 4, 4, 9], expected float16[",
    "params/encoder/conv2/bias is float32[16], expected float16[16]",
    "params/nose is float16[1], expected absent",
  ):
    assert part in text, part


@pytest.mark.parametrize(
  ("change", "text"),
  [
    (lambda data: data[:-100], "is cut short, damaged or of another kind"),
    (lambda data: data[:6], "is cut short, damaged or of another kind"),
    (lambda data: b"", "is cut short, damaged or of another kind"),
    (lambda data: b"PK" + data, "is cut short, damaged or of another kind"),
    (lambda data: data[:-1] + bytes([data[-1] ^ 1]), "the file is damaged"),
    (
      lambda data: safetensors.numpy.save({"a": np.zeros(1, np.float16)}),
      "got other arrays",
    ),
  ],
)
def test_a_file_that_is_no_whole_one_is_refused(small, change, text):
  small.write_bytes(change(small.read_bytes()))
  with pytest.raises(errors.InputError, match=text) as caught:
    facerep_jax.load(small)
  assert str(small) in str(caught.value)


def without(name):
  def change(tree):
    *parents, last = name.split(".")
    node = tree
    for parent in parents:
      node = node[parent]
    del node[last]

  return change


@pytest.mark.parametrize(
  ("meta", "text"),
  [
    ({"facerep_jax": "3"}, "format 3, expected 1 or 2: written by version"),
    ({"facerep_jax": "2"}, r"is float16\[4\], expected float32"),
    ({"config": "{"}, "its metadata is damaged"),
    ({"config": "3"}, "got system None"),
    ({"step": "two"}, "its metadata is damaged"),
    ({"step": "-2"}, "step -2"),
    ({"sha256": "0"}, "the file is damaged"),
    (lambda c: c.update(system="nose"), "got system 'nose'"),
    (without("data.crop"), "without data.crop.frame_px"),
    (without("seed"), "without seed"),
    (lambda c: c["model"].update(nose=1), "unexpected keyword argument 'nose'"),
    (lambda c: c["model"].update(size_px=33), "expected a power of two"),
  ],
)
def test_metadata_that_cannot_be_used_is_refused(small, meta, text):
  if callable(meta):
    tree = json.loads(weight_file.metadata(small)["config"])
    meta(tree)
    meta = {"config": json.dumps(tree)}
  rewrite(small, meta)
  with pytest.raises(errors.InputError, match=text):
    facerep_jax.load(small)


def test_only_its_own_step_can_be_asked_of_a_file(small):
  assert facerep_jax.load(small, step=7, devices=ONE).step == 7
  with pytest.raises(errors.InputError, match="expected step 7, the only one"):
    facerep_jax.load(small, step=8)


@pytest.mark.parametrize("kind", made_up_models.KINDS)
def test_an_exact_file_keeps_every_bit_at_any_size(kind, tmp_path, monkeypatch):
  monkeypatch.setattr(weight_file, "MAX_BYTES", 10)
  model = made_up_models.representation(kind)
  path = tmp_path / "name.safetensors"
  arguments = model.config, model.variables, 3
  size = weight_file.write(path, *arguments, is_exact=True)
  assert size == path.stat().st_size > 10
  found = weight_file.read(path)
  assert found.metadata["facerep_jax"] == weight_file.EXACT_FORMAT
  want = flat(lean.variables_of(model.config, model.variables))
  got = flat(found.variables)
  assert got.keys() == want.keys()
  for name, value in want.items():
    np.testing.assert_array_equal(got[name], value, err_msg=name)


def test_numbers_beyond_float16_are_not_written(tmp_path):
  model = made_up_models.representation("fabnet")
  tree = model.variables.params["encoder"]
  tree["conv0"]["bias"][0] = 1e5
  tree["conv1"]["bias"][0] = np.nan
  # In float32, what float16 does not hold.
  model.variables.model_state["encoder"]["norm1"]["var"][0] = 1e6
  path = tmp_path / "name.safetensors"
  with pytest.raises(errors.InputError) as caught:
    model.save(path)
  assert "params/encoder/conv0/bias (up to 100000, as float16)" in str(
    caught.value
  )
  assert "params/encoder/conv1/bias" in str(caught.value)
  assert "norm1" not in str(caught.value)
  assert list(tmp_path.iterdir()) == []


def test_large_files_and_other_names_are_refused(tmp_path, monkeypatch):
  model = made_up_models.representation("fabnet")
  with pytest.raises(errors.InputError, match="ends in .safetensors"):
    model.save(tmp_path / "name.npz")
  monkeypatch.setattr(weight_file, "MAX_BYTES", 50_000)
  with pytest.raises(errors.InputError, match="would have 0.1 MB, expected at"):
    model.save(tmp_path / "name.safetensors")
  assert list(tmp_path.iterdir()) == []


def test_files_are_told_from_others(small, tmp_path):
  assert weight_file.is_one(small)
  foreign = tmp_path / "foreign.safetensors"
  foreign.write_bytes(safetensors.numpy.save({"a": np.zeros(1)}))
  (tmp_path / "text").write_text("text")
  for path in (foreign, tmp_path / "text", tmp_path / "absent", tmp_path):
    assert not weight_file.is_one(path)


def test_lean_configs_can_be_built():
  for kind in made_up_models.KINDS:
    config = lean.config_of(made_up_models.config(kind))
    assert base.build(config).size_px > 0
    assert not config.model.get("use_confidence", False)
    assert tuple(config.model.get("frozen", ())) == ()
