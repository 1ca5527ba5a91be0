import dataclasses
import io

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image

from facerep_jax import errors
from facerep_jax.data import build, extract, sources
from facerep_jax.synthetic import (
  depth,
  frame,
  generator,
  head,
  rasterise,
  recording,
)
from facerep_jax.tracks import schema, tfrecord

SETTINGS = generator.Settings(
  num_people=20, num_frames=2, size_px=48, maps=True
)


def _first_skin(person):
  made = recording.set_up(SETTINGS, person, 0)
  paths = made.motion
  skins = head.animate(made.model, made.still, paths.left, paths.right)
  return made, skins[0]


@pytest.mark.parametrize("person", range(4))
def test_depth_back_projects_onto_the_posed_mesh(person):
  made, skin = _first_skin(person)
  sight = frame.view(SETTINGS, made, 0)
  posed = sight.pose(skin, made.model.follows)
  values, _ = depth.draw(SETTINGS, made, skin, 0)
  values = depth.decode_depth(depth.encode_depth(values))
  row, column = np.nonzero(values)
  row, column = row[::9], column[::9]
  z = values[row, column].astype(float)
  # The stored pixel's centre on the fine image, and the ray through it.
  fine = (np.stack([column, row], -1) + 0.5) * SETTINGS.supersample - 0.5
  points = np.column_stack(
    [(fine - sight.centre) * (z / sight.focal)[:, None], z - sight.depth]
  )
  # Some triangle of the mesh must contain each point: its plane within half a
  # step of 16 bits, 2.5e-4 in z, which along a ray to a corner of the widest
  # view (27 degrees off the axis) is 1.12 times that.
  corners = posed[made.model.chart.faces]
  found = np.array([_distance(corners, point) for point in points])
  assert found.max() < 2.8e-4


def _distance(corners, point):
  """Distance of a point to the nearest of the triangles that it lies over."""
  a, b, c = corners[:, 0], corners[:, 1], corners[:, 2]
  normal = np.cross(b - a, c - a)
  size = np.linalg.norm(normal, axis=1)
  unit = normal / np.maximum(size, 1e-12)[:, None]
  inside = size > 1e-12
  for p, q in ((a, b), (b, c), (c, a)):
    # An edge's rounding: half a step sideways, too.
    side = (np.cross(q - p, point - p) * unit).sum(1)
    inside &= side > -3e-4 * np.linalg.norm(q - p, axis=1)
  away = np.abs(((point - a) * unit).sum(1))
  return np.where(inside, away, np.inf).min()


def test_depth_is_the_nearest_surface_along_the_ray():
  made, skin = _first_skin(5)
  sight = frame.view(SETTINGS, made, 0)
  xy, z = sight.project(sight.pose(skin, made.model.follows))
  values, _ = depth.draw(SETTINGS, made, skin, 0)
  stored = (xy + 0.5) / SETTINGS.supersample - 0.5
  size = SETTINGS.size_px
  # A loop over the triangles at a few pixels; 1 / depth is linear on screen.
  for row, column in ((10, 24), (20, 20), (24, 24), (30, 28), (44, 10)):
    best = 0.0
    for corners in made.model.chart.faces:
      (x0, y0), (x1, y1), (x2, y2) = stored[corners]
      area = (x1 - x0) * (y2 - y0) - (x2 - x0) * (y1 - y0)
      if area <= 0:
        continue
      u = ((column - x0) * (y2 - y0) - (x2 - x0) * (row - y0)) / area
      v = ((x1 - x0) * (row - y0) - (column - x0) * (y1 - y0)) / area
      if u >= 0 and v >= 0 and u + v <= 1:
        best = max(
          best,
          (1 - u - v) / z[corners[0]] + u / z[corners[1]] + v / z[corners[2]],
        )
    want = 1 / best if best else 0.0
    assert values[row, column] == pytest.approx(want, rel=1e-6)
  assert values.shape == (size, size) and values.dtype == np.float32


def test_mask_is_the_share_of_samples_that_the_skin_covers():
  made, skin = _first_skin(2)
  values, mask = depth.draw(SETTINGS, made, skin, 0)
  sight = frame.view(SETTINGS, made, 0)
  xy, z = sight.project(sight.pose(skin, made.model.follows))
  side = SETTINGS.size_px * 2
  raster = rasterise.rasterise(xy, z, made.model.chart.faces, side, side)
  fine = np.zeros((side, side))
  fine.flat[raster.pixel] = 1
  for row, column in np.random.default_rng(0).integers(0, 48, (200, 2)):
    share = fine[2 * row : 2 * row + 2, 2 * column : 2 * column + 2].mean()
    assert mask[row, column] == round(255 * share)
  assert set(np.unique(mask)) <= {0, 64, 128, 191, 255}
  # The centre of a pixel that is covered whole is covered.
  assert (values[mask == 255] > 0).mean() > 0.999
  assert (values[mask == 0] > 0).mean() < 0.001


def test_unit_is_100_mm():
  # Whatever the field of view, the camera stands where a frame 264 mm wide
  # fills it, and noses end 60 to 150 mm before the head's axis, least when
  # turned.
  for person in range(4):
    made, skin = _first_skin(person)
    values, _ = depth.draw(SETTINGS, made, skin, 0)
    camera_mm = 264 / 2 / np.tan(made.fov_rad / 2) + 60
    nearest_mm = 100 * values[values > 0].min()
    assert 60 < camera_mm - nearest_mm < 150


def test_focal_length_is_that_of_the_stored_frame():
  made = recording.set_up(SETTINGS, 3, 1)
  track = generator.make_track(SETTINGS, 3, 1)
  got = schema.parse(schema.serialize(track)).labels["focal_px"]
  # The field of view spans the frame, which the tracker's zoom scales.
  want = 48 / 2 / np.tan(made.fov_rad / 2) * made.motion.zoom
  np.testing.assert_allclose(got, want, rtol=1e-6)  # float32.
  assert np.ptp(got) > 0
  # Finer frames have more pixels of it.
  double = dataclasses.replace(SETTINGS, size_px=96)
  finer = generator.draw_track(double, 3, 1).labels["focal_px"]
  np.testing.assert_allclose(finer, 2 * got, rtol=1e-6)


def test_maps_change_nothing_else():
  plain = dataclasses.replace(SETTINGS, maps=False)
  with_maps = generator.make_track(SETTINGS, 1, 1)
  without = generator.make_track(plain, 1, 1)
  assert not without.maps and set(with_maps.maps) == set(schema.MAPS)
  with_maps.maps = {}
  del with_maps.labels["focal_px"]
  assert schema.serialize(with_maps) == schema.serialize(without)


def test_maps_survive_png_and_the_record_format():
  drawn = generator.draw_track(SETTINGS, 1, 1)
  record = schema.serialize(generator.make_track(SETTINGS, 1, 1))
  track = schema.parse(record, maps=schema.MAPS)
  for i in range(2):
    with Image.open(io.BytesIO(track.maps["depth_png"][i])) as image:
      assert image.format == "PNG" and image.size == (48, 48)
    got = depth.decode_depth(track.maps["depth_png"][i])
    assert got.dtype == np.float32
    # Half a step; nothing stays nothing.
    np.testing.assert_allclose(got, drawn.depth[i], atol=0.5 / depth.SCALE)
    assert (got == 0).sum() == (drawn.depth[i] == 0).sum()
    mask = depth.decode_mask(track.maps["mask_png"][i])
    np.testing.assert_array_equal(mask, drawn.mask[i])
  assert not schema.parse(record).maps  # Read when asked for.


def test_stored_number_is_the_depth_times_the_scale():
  values = np.array([[0.0, 5.0], [12.3456, 32.7]])
  with Image.open(io.BytesIO(depth.encode_depth(values))) as image:
    stored = np.asarray(image).astype(int)
  np.testing.assert_array_equal(stored, [[0, 10000], [24691, 65400]])
  with pytest.raises(errors.InputError, match="16 bits reach 32.8"):
    depth.encode_depth(np.array([[33.0]]))


def test_what_is_no_map_is_refused():
  mask = depth.encode_mask(np.zeros((4, 4), np.uint8))
  with pytest.raises(
    errors.InputError, match="depth_png: is a picture of mode"
  ):
    depth.decode_depth(mask)
  with pytest.raises(errors.InputError, match="mask_png: is no picture"):
    depth.decode_mask(b"nothing")


def test_dataset_keeps_maps_chunk_by_chunk(tmp_path):
  units = sources.collect([sources.Source("synthetic")], 3, 1)
  settings = extract.Settings(
    size_px=16,
    num_people=3,
    tracks_per_person=1,
    num_frames=5,
    chunk=3,
    maps=True,
  )
  manifest = build.build(units, str(tmp_path), settings, build.Plan())
  assert set(schema.MAPS) <= set(manifest["labels"])
  whole = dataclasses.replace(
    SETTINGS, num_people=3, tracks_per_person=1, num_frames=5, size_px=16
  )
  shards = sorted(tmp_path.glob("*-of-?????"))
  records = [x for path in shards for x in tfrecord.read_records(path)]
  assert len(records) == 6
  for record in records:
    track = schema.parse(record, maps=schema.MAPS)
    assert len(track.maps["depth_png"]) == len(track.frames) in (2, 3)
    drawn = generator.draw_track(whole, int(track.person[-5:]), 0)
    for i, at in enumerate(track.frame_index):
      got = depth.decode_depth(track.maps["depth_png"][i])
      np.testing.assert_allclose(got, drawn.depth[at], atol=2.6e-4)
  builder = tfds.builder_from_directory(str(tmp_path))
  example = builder.info.features.deserialize_example_np(records[0])
  for name, decode in (
    ("depth_png", lambda x: depth.decode_depth(x) * depth.SCALE),
    ("mask_png", depth.decode_mask),
  ):
    want = [decode(x) for x in schema.parse(records[0], maps=[name]).maps[name]]
    got = np.stack(example[name])
    assert got.dtype == schema.MAPS[name] and got.shape[1:] == (16, 16, 1)
    # Float32 times 2000 is within 1e-3 of the whole number that was stored.
    np.testing.assert_allclose(got[..., 0].astype(float), want, atol=1e-2)
