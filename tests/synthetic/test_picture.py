import numpy as np

from facerep_jax.synthetic import albedo, camera, head, picture, rasterise

_SIDE, _TEXTURE = 64, 48
# A pixel that is nearer than this, in texels, to the middle between two may
# have either: the look-up has steps.
_STEP = 0.05


def _raster(model):
  """The resting head from the front, and its skin."""
  skin = head.neutral(model, np.zeros(len(model.shape_basis)))
  focal = camera.focal_px(0.3, _SIDE)
  depth = camera.distance(0.3, 2.64)
  xy, z = camera.project(skin, depth, focal, np.array([_SIDE / 2, _SIDE / 2]))
  return rasterise.rasterise(xy, z, model.chart.faces, _SIDE, _SIDE)


def _mean(raster, at, values):
  """Interpolates values of vertices at one covered pixel, in float64."""
  corners = head.built_in().chart.faces[raster.face[at]]
  return (np.float64(raster.barycentric[at])[:, None] * values[corners]).sum(0)


def test_skin_is_the_nearest_texel_in_its_light():
  model, rng = head.built_in(), np.random.default_rng(0)
  raster = _raster(model)
  lit = rng.uniform(0.2, 1, (len(model.s), 4)).astype(np.float32)
  texture = rng.random((_TEXTURE, _TEXTURE, 3)).astype(np.float32)
  image = np.full((_SIDE * _SIDE, 3), -1, np.float32)
  s, t = picture.draw_skin(image, raster, lit, texture, gloss=0.3)
  assert len(raster.pixel) > 500
  num_compared = 0
  for at in rng.permutation(len(raster.pixel))[:300]:
    place = _mean(raster, at, np.stack([model.s, model.t], axis=1))
    np.testing.assert_allclose((s[at], t[at]), place, atol=1e-5)
    nearest, is_clear = [], True
    for x, centres in zip(place, albedo.texels(_TEXTURE)):
      away = np.abs(x - centres)
      first, second = np.sort(away)[:2]
      nearest.append(np.argmin(away))
      is_clear &= second - first > 2 * _STEP * np.abs(centres[1] - centres[0])
    if not is_clear:
      continue
    num_compared += 1
    light = _mean(raster, at, lit)
    column, row = nearest
    want = texture[row, column] * light[:3] + 0.3 * light[3]
    # Float32 sums of a few products.
    np.testing.assert_allclose(image[raster.pixel[at]], want, atol=1e-5)
  assert num_compared > 100
  outside = np.setdiff1d(np.arange(_SIDE * _SIDE), raster.pixel)
  assert (image[outside] == -1).all()
