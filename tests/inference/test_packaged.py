import re

import jax
import numpy as np
import pytest

import facerep_jax
from facerep_jax import errors
from facerep_jax.inference import packaged, ready_probes, weight_file
from facerep_jax.synthetic import actions
from tests import made_up_models

HEADINGS = (
  *("Data", "Training", "Metrics", "Limits"),
  *("Intended use", "Ruled-out use"),
)
SHAPES = {
  "expression": (8,),
  "action_units": (2, 20),
  "landmarks_ndc": (68, 2),
  "landmarks_px": (68, 2),
  "pose_deg": (3,),
}
NAMES = sorted(packaged.paths())
_NONE = pytest.param(
  "", marks=pytest.mark.skip(reason="no model comes with the library yet")
)


@pytest.fixture
def folder(tmp_path, monkeypatch):
  """A folder of models in place of the library's own, and a place to be."""
  place = tmp_path / "weights"
  monkeypatch.setattr(packaged, "FOLDER", place)
  made_up_models.representation("fabnet").save(
    place / "fabnet-tiny.safetensors", summary="A small one."
  )
  (place / "fabnet-tiny.md").write_text("# Card")
  here = tmp_path / "here"
  here.mkdir()
  monkeypatch.chdir(here)
  return place


def test_models_are_listed_and_loaded_by_name(folder):
  assert facerep_jax.list_models() == {"fabnet-tiny": "A small one."}
  assert facerep_jax.models() == facerep_jax.list_models()
  by_name = facerep_jax.load("fabnet-tiny", devices=jax.devices()[:1])
  by_path = facerep_jax.load(
    folder / "fabnet-tiny.safetensors", devices=jax.devices()[:1]
  )
  assert by_name.step == 7
  jax.tree.map(
    np.testing.assert_array_equal, by_name.variables, by_path.variables
  )


def test_a_folder_of_the_same_name_is_a_run(folder, tmp_path, caplog):
  (tmp_path / "here" / "fabnet-tiny").mkdir()
  with pytest.raises(errors.InputError, match="has no config.json"):
    facerep_jax.load("fabnet-tiny")
  assert "this is the run in the folder of that name" in caplog.text
  # Of --model it is always the model.
  file = folder / "fabnet-tiny.safetensors"
  assert packaged.file_of("fabnet-tiny") == file
  assert packaged.place_of(file) == file


@pytest.mark.parametrize(
  ("name", "text"),
  [
    ("fabnet-tinny", r"Did you mean fabnet-tiny\? .*: fabnet-tiny\.$"),
    ("nose", r"a model's name\. Models of this installation: fabnet-tiny\.$"),
    ("there/fabnet-tiny.safetensors", "no such file. Did you mean fabnet-tiny"),
    ("fabnet-tiny.safetensors", "Did you mean fabnet-tiny"),
    ("there/run", "has no config.json"),
  ],
)
def test_what_is_not_there_is_said_in_one_line(folder, name, text):
  with pytest.raises(errors.InputError, match=text) as caught:
    facerep_jax.load(name)
  assert "\n" not in str(caught.value)


def test_an_installation_without_models(folder, monkeypatch, tmp_path):
  monkeypatch.setattr(packaged, "FOLDER", tmp_path / "absent")
  assert facerep_jax.list_models() == {}
  with pytest.raises(errors.InputError, match="installation: none"):
    packaged.file_of("fabnet-tiny")
  with pytest.raises(errors.InputError, match="got a folder"):
    packaged.file_of(tmp_path)


def test_titles():
  assert packaged.title_of("a/b.safetensors") == "b"
  assert packaged.title_of("a/run.1") == "run.1"
  assert packaged.title_of("name") == "name"


def test_every_card_has_a_model_and_cards_are_explained():
  cards = {path.stem for path in packaged.FOLDER.glob("*.md")}
  assert cards - {"README"} == set(NAMES)
  text = (packaged.FOLDER / "README.md").read_text()
  assert re.findall(r"`## (.+?)`", text) == list(HEADINGS)


@pytest.mark.parametrize("name", NAMES or [_NONE])
def test_a_model_of_the_library(name):
  path = packaged.paths()[name]
  assert path.stat().st_size <= 10_000_000
  card = path.with_suffix(".md").read_text()
  found = re.findall(r"^## (.+?)\s*$", card, re.MULTILINE)
  assert [x for x in HEADINGS if x not in found] == []
  metadata = weight_file.metadata(path)
  assert metadata["summary"] and "/" not in metadata["config"]
  model = facerep_jax.load(name, devices=jax.devices()[:1])
  image = np.full((1, model.size_px, model.size_px, 3), 128, np.uint8)
  for value in model.embed(image, batch_size=1).values():
    assert np.isfinite(value).all()


@pytest.mark.parametrize("name", NAMES or [_NONE])
def test_the_linear_probes_of_a_model_of_the_library(name):
  model = facerep_jax.load(name, devices=jax.devices()[:1])
  assert model.file.with_suffix(ready_probes.SUFFIX).stat().st_size <= 1_000_000
  # Else the weights are new: fit them anew, as docs/probes.md says.
  assert model.probes.about["fingerprint"] == model.fingerprint
  assert model.probes.classes == tuple(actions.EXPRESSIONS)
  assert model.probes.units == tuple(actions.UNITS)
  image = np.full((90, 120, 3), 128, np.uint8)
  found = model.read([image], batch_size=1)
  shapes = {name: value.shape[1:] for name, value in found.items()}
  assert shapes.pop("distance", ()) == ()
  assert shapes == SHAPES
  for value in found.values():
    assert value.dtype == np.float32 and np.isfinite(value).all()
  np.testing.assert_allclose(found["expression"].sum(axis=1), 1, rtol=1e-5)
