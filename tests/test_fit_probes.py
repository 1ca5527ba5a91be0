"""Linear probes of a small model: fitted, read from a file, and as columns."""

import csv
import json

import jax
import numpy as np
import pytest
from PIL import Image

import facerep_jax
from facerep_jax import embed, errors
from facerep_jax.detection import crop
from facerep_jax.evaluators import linear_probe, ready_fit, saved_probes
from facerep_jax.fit_probes import __main__ as fit_probes
from facerep_jax.inference import (
  face_rows,
  probe_columns,
  probe_file,
  ready_probes,
)
from tests import made_up_models
from tests.evaluators import made_up


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
  """A file of weights with linear probes beside, and what was printed."""
  folder = tmp_path_factory.mktemp("fitted")
  weights = folder / "tiny.safetensors"
  made_up_models.representation("fabnet").save(weights)
  data = made_up.write_tracks(folder / "tracks")
  with pytest.MonkeyPatch.context() as patch:
    made_up.hurry(patch, 0.1)
    fit_probes.main(
      [
        *(f"--model={weights}", f"--data=tracks:{data}"),
        f"--output={folder / 'tiny.probes.npz'}",
      ]
    )
  return weights


@pytest.fixture
def model(fitted):
  return facerep_jax.load(fitted, devices=jax.devices()[:1])


def pictures(count=3, seed=0):
  rng = np.random.default_rng(seed)
  return rng.integers(0, 256, (count, 40, 56, 3), np.uint8)


def test_what_is_read_is_what_the_probes_give(model):
  images = pictures()
  found, features = model.read(images), model.embed(images)
  assert found["action_units"].shape == (3, 2, 20)
  assert 0 <= found["action_units"].min() <= found["action_units"].max() <= 1
  np.testing.assert_allclose(found["expression"].sum(axis=1), 1, rtol=1e-5)
  pose = model.probes.fitted["pose"].outputs(features["embedding"])
  np.testing.assert_allclose(found["pose_deg"], np.degrees(pose), rtol=1e-4)
  assert model.probes.features["action_units_sided"] == "spatial"


def test_landmarks_are_in_pixels_of_the_given_image(model):
  image = pictures(1)[0]
  left, top, side = model.place(image.shape)
  cut = model.crop(image)
  found = model.read([image])["landmarks_px"]
  inside = model.read([cut], is_cropped=True)["landmarks_px"]
  want = (inside + 0.5) * side / len(cut) + (left, top) - 0.5
  np.testing.assert_allclose(found, want, atol=1e-3)


def test_an_evaluation_takes_the_file(fitted):
  path = fitted.with_suffix(ready_probes.SUFFIX)
  saved = saved_probes.load(path)
  classes = ["anger", "happiness"]
  (found,) = saved_probes.pick(saved, "expression", classes).values()
  assert found.weights.shape[1] == 2
  assert list(saved_probes.pick(saved, "pose", [])) == ["fabnet: embedding"]


def test_other_files_are_one_line(fitted, model, tmp_path):
  path = tmp_path / "other.npz"
  with pytest.raises(errors.InputError, match="no such file"):
    ready_probes.load(path)
  one = linear_probe.LinearProbe(
    np.zeros(3), np.ones(3), np.zeros((3, 2)), np.zeros(2), 1
  )
  probe_file.save(path, {"a / pose / b": one}, {"classes": {}})
  with pytest.raises(errors.InputError, match="expected ready linear probes"):
    ready_probes.load(path)
  mine = fitted.with_suffix(ready_probes.SUFFIX)
  with pytest.raises(errors.InputError, match="fitted to other weights") as bad:
    ready_probes.load(mine, "of others")
  assert "fit_probes" in str(bad.value) and "\n" not in str(bad.value)
  alone = tmp_path / "alone.safetensors"
  made_up_models.representation("fabnet", seed=1).save(alone)
  with pytest.raises(errors.InputError, match="looked for alone.probes.npz"):
    facerep_jax.load(alone).read(pictures(1))
  with pytest.raises(errors.InputError, match="a run has no ready"):
    _ = model.untrained().probes
  with pytest.raises(errors.InputError, match="has other"):
    model.probes.outputs({"other": np.zeros((1, 8))})


def test_data_without_sides_is_refused(fitted, tmp_path, monkeypatch):
  without = dict(made_up.frames(0, 1)[1])
  del without["action_units_sided"]
  monkeypatch.setattr(
    made_up, "frames", lambda *args, **more: _frames_with(without)
  )
  data = made_up.write_tracks(tmp_path / "tracks")
  output = tmp_path / "x.npz"
  with pytest.raises(errors.InputError, match="lacks the label action_units_s"):
    fit_probes.main(
      [f"--model={fitted}", f"--data=tracks:{data}", f"--output={output}"]
    )
  assert not output.exists()


def _frames_with(labels):
  repeated = {name: np.repeat(x, 6, axis=0) for name, x in labels.items()}
  return [np.zeros((40, 40, 3), np.uint8)] * 6, repeated


def table(fitted, tmp_path, *more):
  folder = tmp_path / "photos"
  folder.mkdir()
  for i, image in enumerate(pictures()):
    Image.fromarray(image).save(folder / f"{i}.png")
  output = tmp_path / "out.csv"
  embed.main(
    [
      *(f"--model={fitted}", f"--images={folder}", f"--output={output}"),
      *("--crop=none", "--features=none", *more),
    ]
  )
  with open(output) as file:
    rows = list(csv.DictReader(file))
  return rows, json.loads(output.with_suffix(".json").read_text())


def test_columns_of_a_table(fitted, model, tmp_path):
  rows, about = table(fitted, tmp_path, "--probes=packaged")
  found, classes = model.read(pictures()), model.probes.classes
  for i, row in enumerate(rows):
    chosen = int(found["expression"][i].argmax())
    assert row["probe_expression"] == classes[chosen]
    for k, name in enumerate(classes):
      same(row[f"probe_p_{name}"], found["expression"][i, k])
    for side in range(2):
      for k, unit in enumerate(model.probes.units):
        name = f"probe_au{unit}_{('left', 'right')[side]}"
        same(row[name], found["action_units"][i, side, k])
    for k, name in enumerate(("yaw", "pitch", "roll")):
      same(row[f"probe_{name}_deg"], found["pose_deg"][i, k])
    assert ("probe_distance" in row) == ("distance" in found)
    for k in range(68):
      same(row[f"probe_x_{k}"], found["landmarks_px"][i, k, 0])
      same(row[f"probe_y_{k}"], found["landmarks_px"][i, k, 1])
  told = about["facerep_jax"]
  assert told["columns"]["probe_x_0"]["unit"] == "px"
  assert told["columns"]["probe_yaw_deg"]["unit"] == "degree"
  assert told["probes"]["fingerprint"] == model.fingerprint


def same(text, value):
  np.testing.assert_allclose(float(text), value, rtol=1e-3, atol=1e-3)


def test_no_columns_unless_asked_for(fitted, tmp_path):
  rows, about = table(fitted, tmp_path)
  assert not [x for x in rows[0] if x.startswith("probe_")]
  assert "probes" not in about["facerep_jax"]


def test_classes_are_taken_for_equally_frequent():
  rng = np.random.default_rng(0)
  labels = np.repeat([0, 1], [900, 100])
  x = rng.normal(size=(1000, 1))  # Says nothing.
  found = linear_probe.logistic(x, labels, np.arange(1000), 3)
  even = ready_fit.even(found, labels)
  logits = even.outputs(np.zeros((1, 1)))[0]
  assert abs(logits[0] - logits[1]) < 0.1 and logits[2] == -np.inf


def test_distance_is_one_at_home_and_more_away():
  rng = np.random.default_rng(0)
  x = rng.normal(size=(500, 6)) @ rng.normal(size=(6, 9))
  x[:, 8] = 3  # Constant.
  found = ready_fit.whitening(x)
  outputs = found.outputs(x)
  assert outputs.shape[1] == 6
  covariance = outputs.T @ outputs / len(x)
  np.testing.assert_allclose(covariance, np.eye(6), atol=1e-6)
  away = found.outputs(3 * x)
  assert np.mean(away**2) > 4 * np.mean(outputs**2)


def test_the_distance_is_kept_where_it_tells_errors():
  rng = np.random.default_rng(0)
  white = rng.normal(size=(200, 5)) * rng.uniform(0.5, 2, (200, 1))
  distance = np.sqrt(np.mean(white**2, axis=1))
  assert ready_fit.tells_errors(white, distance**3)
  assert not ready_fit.tells_errors(white, -distance)
  assert not ready_fit.tells_errors(white, rng.permutation(distance))


def test_with_a_distance_there_is_one_column_more(model):
  probes = model.probes
  if "distance" in probes.fitted:
    del probes.fitted["distance"]
  without = probe_columns.ProbeColumns(probes, model)
  features = model.embed(pictures())
  white = ready_fit.whitening(features["embedding"])
  probes.fitted["distance"] = white
  probes.features["distance"] = "embedding"
  columns = probe_columns.ProbeColumns(probes, model)
  assert columns.width == without.width + 1
  faces = [
    face_rows.Face(0, i, 0.0, 0, None, image)
    for i, image in enumerate(pictures())
  ]
  block = columns.block(columns.rows(faces, features))
  want = np.sqrt(np.mean(white.outputs(features["embedding"]) ** 2, axis=1))
  np.testing.assert_allclose(block["probe_distance"], want, rtol=1e-4)
  assert np.isnan(block["probe_x"]).all()  # The place is unknown.
  assert {x.name for x in columns.columns()} == set(block)


def test_where_a_crop_lies_in_its_picture():
  image = np.zeros((120, 160, 3), np.uint8)
  image[59:62, 79:82] = 255  # About (80, 60).
  box = np.array([50.0, 30.0, 110.0, 95.0])
  cut = crop.crop_box(image, box, 256)
  rows, columns = np.nonzero(cut[..., 0] > 128)
  middle = np.array([[[columns.mean(), rows.mean()]]])
  left, top, scale = face_rows.origin(box, 256)
  ndc = 2 * (middle + 0.5) / 256 - 1
  found = ready_probes.to_pixels(ndc, [[left, top, 256 * scale]])
  np.testing.assert_allclose(found[0, 0], (80, 60), atol=0.3)
