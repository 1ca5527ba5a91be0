import jax
import numpy as np
import pytest
from skimage import feature

from facerep_jax import errors
from facerep_jax.detection import crop
from facerep_jax.evaluators import features, linear_probe
from facerep_jax.inference import api
from facerep_jax.systems import base
from tests import tiny
from tests.evaluators import made_up

RNG = np.random.default_rng(0)


@pytest.fixture(scope="module")
def model():
  """What cuts images as a run does; it has no weights."""
  config = tiny.config("")
  system = base.build(config)
  return api.Representation(config, system, None, 0, jax.devices()[:1])


def dot(height, width, place):
  """A soft white dot, so that its middle is not rounded."""
  y, x = np.mgrid[:height, :width]
  square = (x - place[0]) ** 2 + (y - place[1]) ** 2
  grey = np.rint(255 * np.exp(-square / (2 * 6**2))).astype(np.uint8)
  return np.repeat(grey[..., None], 3, axis=-1)


def middle_of(image):
  weight = image[..., 0].astype(np.float64)
  y, x = np.mgrid[: len(image), : image.shape[1]]
  return np.array([(x * weight).sum(), (y * weight).sum()]) / weight.sum()


@pytest.mark.parametrize("cut", ["track", "face"])
@pytest.mark.parametrize("shape", [(256, 256), (200, 260), (280, 200)])
def test_landmarks_move_with_the_crop(model, cut, shape):
  height, width = shape
  places = np.array([[0.5, 0.45], [0.4, 0.35], [0.62, 0.5]]) * (width, height)
  drawn = [dot(*shape, place) for place in places]
  source = made_up.labelled([0], 3, cut=cut, read=drawn.__getitem__)
  labels = source.labels | {"landmarks_px": places[:, None]}
  source = made_up.labelled(
    [0], 3, cut=cut, read=drawn.__getitem__, labels=labels
  )
  crops = features.crop(source, model)
  assert crops.pixels.shape == (3, 32, 32, 3)
  for image, point in zip(crops.pixels, crops.labels["landmarks_px"][:, 0]):
    # The dot is rounded to 8 bits, twice.
    np.testing.assert_allclose(point, middle_of(image), atol=0.05)
  np.testing.assert_allclose(
    crops.labels["landmarks_ndc"],
    (crops.labels["landmarks_px"] + 0.5) * 2 / 32 - 1,
  )


def test_the_edges_of_the_crop_are_minus_one_and_one(model):
  edges = np.array([[[-0.5, -0.5], [39.5, 39.5], [19.5, 19.5]]])
  image = np.zeros((40, 40, 3), np.uint8)
  source = made_up.labelled(
    [0], 1, cut="face", read=lambda i: image, labels={"landmarks_px": edges}
  )
  crops = features.crop(source, model)
  np.testing.assert_allclose(
    crops.labels["landmarks_ndc"][0], [[-1, -1], [1, 1], [0, 0]], atol=1e-12
  )
  np.testing.assert_array_equal(source.labels["landmarks_px"], edges)
  assert "landmarks_ndc" not in source.labels


def test_photos_are_cut_to_the_face_and_have_no_landmarks(model):
  photo = dot(100, 200, (150, 50))
  source = made_up.labelled(
    [0], 2, cut="photo", read=lambda i: photo, labels={}
  )
  with pytest.raises(errors.InputError, match="choose --crop=track"):
    features.crop(source, model)

  def find_face(image):
    return crop.Cut(image[:, 100:], "face")

  crops = features.crop(source, model, find_face)
  np.testing.assert_array_equal(crops.pixels[0], model.crop(photo[:, 100:]))
  with_points = made_up.labelled([0], 2, cut="photo")
  with pytest.raises(errors.InputError, match="landmarks need images"):
    features.crop(with_points, model, find_face)


def test_parts_are_joined_and_taken(model):
  one, two = made_up.labelled([0, 1], 2), made_up.labelled([2], 3)
  parts = [features.crop(x, model) for x in (one, two)]
  both = features.join(parts)
  assert len(both) == 7 and features.join(parts[:1]) is parts[0]
  assert both.group.tolist() == ["p00"] * 2 + ["p01"] * 2 + ["p02"] * 3
  for chosen in (np.array([5, 1]), np.arange(7) % 2 == 1):
    taken = both.take(chosen)
    np.testing.assert_array_equal(taken.pixels, both.pixels[chosen])
    np.testing.assert_array_equal(taken.group, both.group[chosen])
    np.testing.assert_array_equal(
      taken.labels["landmarks_ndc"], both.labels["landmarks_ndc"][chosen]
    )
    names = np.array(both.source.names)[chosen]
    assert taken.source.names == tuple(names)


def test_joined_parts_keep_the_labels_that_all_have(model):
  whole = made_up.labelled([0], 2)
  less = {k: v for k, v in whole.labels.items() if k != "light"}
  parts = [
    whole,
    made_up.labelled([1], 2, labels=less | {"more": np.ones(4)[:2]}),
  ]
  both = features.join([features.crop(x, model) for x in parts])
  assert "yaw_rad" in both.labels
  assert not {"light", "more"} & set(both.labels)
  assert not {"light", "more"} & set(both.source.labels)


def test_images_of_unknown_people_stand_for_themselves(model):
  crops = features.crop(made_up.labelled([0], 3, group=None), model)
  assert crops.group.tolist() == [0, 1, 2]


def test_a_probe_of_components_is_one_of_pixels():
  pixels = RNG.integers(0, 256, (60, 8, 8, 3)).astype(np.uint8)
  fitted = features.Pixels.fit(pixels[:40], 6)
  values = fitted(pixels)
  assert values.shape == (60, 6) and values.dtype == np.float32
  # Components of the training images: centred, uncorrelated.
  gram = values[:40].T @ values[:40]
  np.testing.assert_allclose(gram, np.diag(np.diag(gram)), atol=1e-3)
  # Fitted to other means and deviations than 0 and 1.
  target = values[20:] @ RNG.normal(size=(6, 2))
  found = linear_probe.ridge(3 * values[20:] + 1, target, np.arange(40) // 4)
  joined = fitted.before(found)
  # Float32 sums of 192 products.
  np.testing.assert_allclose(
    joined.outputs(features.flat(pixels)), found.outputs(values), atol=1e-3
  )


def test_pixels_have_no_more_components_than_images_span():
  pixels = RNG.integers(0, 256, (5, 8, 8, 3)).astype(np.uint8)
  fitted = features.Pixels.fit(pixels, 256)
  values = fitted(pixels)
  assert values.shape == (5, 4)
  # Four directions and their mean hold all of five images.
  rebuilt = values @ fitted.components + fitted.mean
  np.testing.assert_allclose(rebuilt, features.flat(pixels), atol=1e-5)


@pytest.mark.parametrize("size", [32, 64])
def test_hog_is_of_eight_by_eight_cells(size):
  pixels = RNG.integers(0, 256, (3, size, size, 3)).astype(np.uint8)
  found = features.hog(pixels)
  assert found.shape == (3, 7 * 7 * 2 * 2 * 9) == (3, 1764)
  want = feature.hog(
    pixels[1],
    orientations=9,
    pixels_per_cell=(size // 8, size // 8),
    cells_per_block=(2, 2),
    block_norm="L2-Hys",
    channel_axis=2,
  )
  np.testing.assert_allclose(found[1], want, rtol=1e-6)


def test_features_of_a_model_are_of_all_images_in_order():
  class Means:
    size_px = 4
    feature_names = ("depth_code", "albedo_code")

    def embed(self, images, is_cropped):
      assert is_cropped
      means = images.mean(axis=(1, 2))
      return {"depth_code": means, "albedo_code": means[:, :1]}

  pixels = RNG.integers(0, 256, (300, 4, 4, 3)).astype(np.uint8)
  found = features.of_model(Means(), pixels)
  red, colour = found["albedo_code"], found["depth_code"]
  np.testing.assert_allclose(colour, pixels.mean(axis=(1, 2)))
  assert list(found) == ["depth_code", "albedo_code", "raw"]
  np.testing.assert_array_equal(
    found["raw"], np.concatenate([red, colour], axis=1)
  )
  assert features.names(Means()) == ("depth_code", "albedo_code", "raw")
  # Of a network that has none of those wanted, all are taken.
  for wanted, want in ((["raw", "other"], ["raw"]), (["other"], list(found))):
    assert list(features.of_model(Means(), pixels, wanted)) == want
