import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from facerep_jax import errors, losses
from facerep_jax.ops import contrast_features, warp
from facerep_jax.synthetic import generator
from tests.oracles import perceptual as oracle
from tests.oracles import waves

KINDS = sorted(contrast_features.KINDS)
SIZE = 64


@functools.cache
def _faces():
  """[3, 64, 64, 3] faces, [-1, 1], and their masks."""
  settings = generator.Settings(size_px=SIZE, num_frames=1, maps=True)
  drawn = [generator.draw_track(settings, person, 0) for person in range(1, 4)]
  images = np.concatenate([x.frames for x in drawn])
  masks = np.concatenate([x.mask for x in drawn])
  return (images / 127.5 - 1).astype(np.float32), masks.astype(np.float32) / 255


def _turned(images, shift_px, angle_rad):
  """Shifts by (x, y) and turns about the centre; the border is repeated."""
  middle = (SIZE - 1) / 2
  grid = warp.identity_grid_ndc(SIZE, SIZE) * middle
  x, y = grid[..., 0] - shift_px[0], grid[..., 1] - shift_px[1]
  cos, sin = jnp.cos(angle_rad), jnp.sin(angle_rad)
  grid = jnp.stack([cos * x + sin * y, cos * y - sin * x], axis=-1) / middle
  grid = jnp.clip(jnp.broadcast_to(grid[None], (*images.shape[:3], 2)), -1, 1)
  return warp.bilinear_sample(images, grid)


@functools.partial(jax.jit, static_argnames="kind")
def _change(kind, first11, second11):
  """Mean squared difference of features."""
  first = contrast_features.features(first11, kind)
  return jnp.mean(
    jnp.square(first - contrast_features.features(second11, kind))
  )


def _relit(images):
  """A reconstruction half way: light from one side, less contrast, blurred."""
  ramp = jnp.linspace(-0.25, 0.25, SIZE).reshape(1, 1, SIZE, 1)
  blurred = contrast_features.blur(images.transpose(0, 3, 1, 2), 1.2)
  return blurred.transpose(0, 2, 3, 1) * 0.7 + 0.15 + ramp


@pytest.mark.parametrize("kind", ["gradients", "pyramid"])
def test_features_match_loops(kind):
  images = waves.images(1, 16, 0.3)
  got = jax.jit(contrast_features.features, static_argnums=1)(
    2 * images - 1, kind
  )
  want = getattr(oracle, kind)(images[0].astype(np.float64))
  # Float32 differences of averages of about 0.5, divided by about 0.02.
  np.testing.assert_allclose(got[0], want, atol=2e-4)


def test_slopes_of_a_ramp_are_exact_to_the_border():
  ramp = 0.02 * np.arange(16, dtype=np.float32)
  plane = np.broadcast_to(ramp, (1, 1, 16, 16))
  x, y = contrast_features.slopes(plane, 1.5)
  np.testing.assert_allclose(x, 0.02 * 1.5, rtol=1e-4)
  np.testing.assert_allclose(y, 0, atol=1e-6)
  # Averages of cells are the ramp's values at their centres, inside.
  cells = contrast_features.blur(plane, 1.0, 4)[0, 0, 1:-1, 1:-1]
  want = np.broadcast_to([0.02 * 5.5, 0.02 * 9.5], (2, 2))
  np.testing.assert_allclose(cells, want, rtol=1e-3)


def test_directions_are_named_right():
  """Lighter to the right is direction 0, lighter below direction 2."""
  ramp = np.broadcast_to(np.linspace(-1, 1, 32, dtype=np.float32), (1, 32, 32))
  for image, direction in ((ramp, 0), (ramp.transpose(0, 2, 1), 2)):
    image = np.repeat(image[..., None], 3, axis=-1)
    counts = contrast_features.features(image, "gradients").reshape(-1, 3, 8)
    assert (counts.argmax(-1) == direction).all()


@pytest.mark.parametrize("kind", KINDS)
def test_shape_and_unit_scale(kind):
  images, _ = _faces()
  got = np.asarray(contrast_features.features(images, kind))
  assert got.shape[:3] == (3, 16, 16)
  assert got.dtype == np.float32
  assert 0.5 < got.std((0, 1, 2)).mean() < 2


@pytest.mark.parametrize("kind", KINDS)
def test_brightness_does_not_matter_and_contrast_little(kind):
  images, _ = _faces()
  # Another face: the scale to compare with.
  other = _change(kind, images, np.roll(images, 1, axis=0))
  # Rounding of brightness, magnified by the division by a small contrast.
  assert _change(kind, images, images + np.float32(0.2)) < 1e-4 * other
  # What the noise floor lets through.
  assert _change(kind, images, images * np.float32(0.7)) < 0.05 * other


@pytest.mark.parametrize("kind", KINDS)
def test_larger_shifts_change_more(kind):
  images, _ = _faces()
  changes = [
    float(_change(kind, images, _turned(images, (shift, 0.0), 0.0)))
    for shift in (0.0, 1.0, 2.0, 4.0)
  ]
  assert changes[0] < 1e-6
  assert changes == sorted(changes)
  assert changes[3] > 2 * changes[1]


@pytest.mark.parametrize("kind", KINDS)
def test_descent_finds_a_shift_and_a_turn_under_wrong_light(kind):
  images, masks = _faces()

  def loss(place, is_turn):
    """The perceptual loss at a displacement in px, or degrees."""
    shift, angle = jnp.where(is_turn, 0, place), jnp.where(is_turn, place, 0)
    moved = _turned(_relit(images), (shift, 0.5 * shift), jnp.deg2rad(angle))
    first, second = (
      contrast_features.features(x, kind) for x in (moved, images)
    )
    return losses.perceptual(first, second, None, masks).mean()

  slope = jax.jit(jax.grad(loss))
  for is_turn, start in ((False, 3.0), (True, 12.0)):
    assert slope(start, is_turn) > 0 > slope(-start, is_turn)
    place = start
    for i in range(14):  # Far enough in all for 1.2 times the way.
      place -= np.sign(slope(place, is_turn)) * start / 4 * 0.8**i
    # Half a pixel; a degree moves the outline of a face by 0.4 px.
    assert abs(place) < (1.5 if is_turn else 0.5)


@pytest.mark.parametrize("kind", KINDS)
def test_shape_outweighs_light_more_than_in_colours(kind):
  """What a wrong place adds to the loss, as a share of what light does."""
  images, _ = _faces()
  relit = _relit(images)
  moved = _turned(relit, (2.0, 0.0), 0.0)
  at_place, away = (float(_change(kind, images, x)) for x in (relit, moved))
  plain = [float(jnp.mean(jnp.abs(images - x))) for x in (relit, moved)]
  assert (away - at_place) / at_place > 3 * (plain[1] - plain[0]) / plain[0]


@pytest.mark.parametrize("kind", ["gradients", "pyramid"])
def test_gradients_are_exact(kind):
  rng = np.random.default_rng(0)
  images = rng.uniform(-0.8, 0.8, (1, 8, 8, 3)).astype(np.float32)
  fn = jax.jit(
    lambda x: jnp.sum(jnp.square(contrast_features.features(x, kind) - 1))
  )
  # Float32 differences over 1e-2 of a smooth function.
  check_grads(fn, (images,), 1, ("rev",), eps=1e-2, rtol=0.03, atol=0.3)


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_are_finite_on_flat_pictures(kind):
  flat = np.full((1, 16, 16, 3), 0.25, np.float32)
  fn = lambda x: jnp.sum(jnp.square(contrast_features.features(x, kind) - 1))
  assert np.isfinite(jax.jit(jax.grad(fn))(flat)).all()


def test_random_weights_are_the_same_every_time():
  images, _ = _faces()
  first = contrast_features.features(images[:1], "random_vgg")
  contrast_features._random_kernels.cache_clear()
  np.testing.assert_array_equal(
    first, contrast_features.features(images[:1], "random_vgg")
  )


def test_unknown_kinds_and_sizes_are_refused():
  images, _ = _faces()
  with pytest.raises(errors.InputError, match="gradients, pyramid, random_vgg"):
    contrast_features.features(images, "vgg")
  with pytest.raises(errors.InputError, match="multiple of 4"):
    contrast_features.features(images[:, :50, :50], "pyramid")
