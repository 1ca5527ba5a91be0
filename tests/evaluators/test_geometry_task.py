"""Pictures that are their own relief, so that a rule can read it from them."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from facerep_jax.evaluators import albedo_leak, geometry, geometry_task, results
from facerep_jax.files import images
from facerep_jax.inference import api
from facerep_jax.ops import camera as camera_ops
from facerep_jax.synthetic import depth as depth_maps
from facerep_jax.tracks import index, schema, tfrecord
from tests import tiny
from tests.evaluators import made_up

SIZE_PX, FOCAL_PX, DISTANCE = 64, 200.0, 8.0
PEOPLE = {"train": range(8), "validation": range(8, 10), "test": range(10, 16)}
FRAMES = 5


def relief(person, yaw):
  """[S, S] in [0, 1]: a bump, which yaw moves, on a slope of the person's."""
  y, x = np.mgrid[:SIZE_PX, :SIZE_PX] / SIZE_PX
  # Less in the test part, so that no line fits both parts.
  reach = 0.18 if person in PEOPLE["test"] else 0.2
  slope = np.random.default_rng(person).uniform(0.1, 0.3)
  bump = np.exp(-((x - 0.5 - reach * yaw) ** 2 + (y - 0.4) ** 2) / 0.03)
  return 0.1 + slope * x + 0.5 * bump


def recordings(person):
  """Two videos of a person, of 3 and 2 frames."""
  rng = np.random.default_rng((1, person))
  angles = rng.uniform(-1, 1, (3, FRAMES)).astype(np.float32)
  heights = [relief(person, yaw) for yaw in angles[0]]
  pictures = [
    np.rint(255 * x)[..., None].repeat(3, -1).astype(np.uint8) for x in heights
  ]
  names = ("yaw_rad", "pitch_rad", "roll_rad")
  labels = dict(zip(names, angles))
  labels["focal_px"] = np.full(FRAMES, FOCAL_PX, np.float32)
  full = np.full((SIZE_PX, SIZE_PX), 255, np.uint8)
  maps = {
    "depth_png": [depth_maps.encode_depth(DISTANCE - x) for x in heights],
    "mask_png": [depth_maps.encode_mask(full)] * FRAMES,
  }
  encoded = [images.encode_jpeg(x, 100) for x in pictures]
  for video, rows in (("v0", range(3)), ("v1", range(3, FRAMES))):
    pick = lambda column, rows=rows: [column[i] for i in rows]
    yield schema.Track(
      *(f"p{person:02d}", video, "t", 0, pick(encoded), np.arange(len(rows))),
      {name: np.array(pick(column)) for name, column in labels.items()},
      {name: pick(column) for name, column in maps.items()},
    )


def write(folder, with_maps=True):
  folder.mkdir()
  for split, people in PEOPLE.items():
    path = folder / f"tracks-{split}.tfrecord-00000-of-00001"
    with tfrecord.Writer(path) as writer:
      for made in (x for person in people for x in recordings(person)):
        if not with_maps:
          made.maps = {}
        writer.write(schema.serialize(made))
    index.write(path)
  (folder / "manifest.json").write_text(json.dumps({"format": 1}))
  return str(folder)


def factors(variables, images01):
  """Takes brightness for relief; finds yaw where the bump is."""
  del variables
  height = images01[..., 0]
  size = height.shape[1]
  camera = camera_ops.Camera(size)
  # A crop of 170 / 256 of the frame, see `transforms.Crop`.
  focal_px = FOCAL_PX * size / (SIZE_PX * 170 / 256)
  mean = jnp.mean(height, axis=(1, 2), keepdims=True)
  scale = focal_px / camera.focal_px / (DISTANCE - mean)
  across = jnp.arange(size, dtype=jnp.float32)[None, None]
  weight = jnp.maximum(height - 0.5, 0.0)
  yaw = jnp.sum(weight * across, (1, 2)) / jnp.sum(weight, (1, 2))
  zero = jnp.zeros_like(yaw)
  return {
    "depth": 1 + (mean - height) * scale,
    "mask": jnp.ones_like(height),
    "view": jnp.stack([zero, -yaw, zero, zero, zero, zero], axis=1),
    "albedo": jnp.full_like(images01, 0.5),
    "unused": zero,
  }


@pytest.fixture(scope="module")
def made(tmp_path_factory):
  folder = tmp_path_factory.mktemp("depth")
  data = write(folder / "tracks")
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(jax, "local_devices", lambda: jax.devices()[:1])
    model = api.untrained(tiny.config(data))
  able = api.untrained(tiny.config(data))
  able.system = able.system._replace(factors=factors)
  compared = {"other": able, "unable": model}
  networks = made_up.Networks(able, compared, recipe=None)
  with pytest.MonkeyPatch.context() as patch:
    made_up.hurry(patch, 10.0)
    return networks, data, geometry_task.run(networks, data)


def test_entries_of_every_task(made):
  _, _, tasks = made
  assert [task["task"] for task in tasks] == [
    "geometry",
    "geometry_view",
    "geometry_albedo",
  ]
  kinds = [[entry["kind"] for entry in task["entries"]] for task in tasks]
  networks = ["run", "random", "compare"]  # The one without factors is not.
  assert kinds == [
    [*networks, "baseline", "baseline"],
    networks,
    [*networks, "baseline"],
  ]
  for task in results.complete_tasks(tasks):
    assert (task["num_test"], task["num_people"]) == (6 * FRAMES, 6)
  # Nothing is fitted to depth.
  assert [task["num_train"] for task in tasks] == [0, 10 * FRAMES, 10 * FRAMES]


def test_who_knows_the_relief_has_no_error_and_others_have(made):
  _, _, tasks = made
  sides, angles = {}, {}
  for entry in tasks[0]["entries"]:
    sides[entry["feature"]] = entry["scores"]["side"].value
    angles[entry["feature"]] = entry["scores"]["normal_deg"].value
    assert entry["scores"]["covered"].value == 100
  # Brightness comes in 255 steps, through JPEG.
  assert sides["fabnet"] < 0.05 * sides["flat depth"]
  assert angles["fabnet"] < 0.1 * angles["flat depth"]
  # The bump is somewhere else in each image, the slope always there.
  for errors in (sides, angles):
    assert errors["fabnet"] < 0.5 * errors["average face"]
    assert errors["average face"] < errors["flat depth"]


def test_yaw_is_the_second_turn_and_the_albedo_keeps_silent(made):
  _, _, (_, view, albedo) = made
  scores = view["entries"][0]["scores"]
  assert scores["yaw_r"].value > 0.99
  assert scores["pitch_r"].value == scores["roll_r"].value == 0
  assert scores["yaw_deg"].value < 5
  leaks = {x["feature"]: x["scores"]["yaw_r2"].value for x in albedo["entries"]}
  assert leaks["fabnet"] <= 0
  assert leaks["the input itself"] > 0.9


def test_what_is_fitted_is_fitted_to_training_people(made):
  networks, data, (depth, view, albedo) = made
  train, test = (
    geometry_task.read(networks.run, data, names)
    for names in (("train", "validation"), ("test",))
  )
  assert not set(train.group) & set(test.group)
  pixels01 = [part.pixels / np.float32(255) for part in (train, test)]
  found, last = (np.array(factors(None, x)["view"])[:, 1] for x in pixels01)
  true, wanted = (part.angles_rad[:, 0] for part in (train, test))
  slope, offset = np.polyfit(found, true, 1)
  entry = view["entries"][0]
  # Sums of float32 pixels, in another order.
  rtol = 1e-4
  got = entry["details"]["slope"]["yaw"], entry["details"]["offset_deg"]["yaw"]
  np.testing.assert_allclose(got, [slope, np.degrees(offset)], rtol=rtol)
  error = np.degrees(np.abs(slope * last + offset - wanted)).mean()
  np.testing.assert_allclose(entry["scores"]["yaw_deg"].value, error, rtol=rtol)
  on_test = np.polyfit(last, wanted, 1)
  assert abs(on_test[0] - slope) > 100 * rtol * abs(slope)

  of = lambda task, name: next(
    x["scores"] for x in task["entries"] if x["feature"] == name
  )
  face = np.broadcast_to(geometry.average(train.true), test.true.depth.shape)
  maps = geometry.Maps(face, np.ones(face.shape))
  camera = camera_ops.Camera(networks.run.size_px)
  want = geometry.measure(maps, test.true, test.group, camera).scores
  for name in ("side", "normal_deg"):
    got = of(depth, "average face")[name].value
    np.testing.assert_allclose(got, want[name].value)
  probe = albedo_leak.fit(pixels01[0], true, train.group)
  want = albedo_leak.measure(pixels01[1], wanted, probe, test.group)
  got = of(albedo, "the input itself")["yaw_r2"].value
  np.testing.assert_allclose(got, want.scores["yaw_r2"].value)


def test_frames_are_cut_alike_and_spread(made, monkeypatch):
  networks, data, _ = made
  monkeypatch.setattr(geometry_task, "_MAX_FRAMES", 20)
  found = geometry_task.read(networks.run, data, ("train", "validation"))
  counts = np.unique(found.group, return_counts=True)[1]
  assert counts.tolist() == [2] * 10
  # Bright is near.
  for pixels, depth in zip(found.pixels, found.true.depth):
    r = np.corrcoef(pixels[..., 0].ravel(), depth.ravel())[0, 1]
    assert r < -0.999


def test_needs_factors_and_maps(made, tmp_path):
  networks, data, _ = made
  assert geometry_task.is_possible(networks, data)
  plain = write(tmp_path / "plain", with_maps=False)
  assert not geometry_task.is_possible(networks, plain)
  unable = made_up.Networks(networks.compared["unable"], {}, recipe=None)
  assert not geometry_task.is_possible(unable, data)
