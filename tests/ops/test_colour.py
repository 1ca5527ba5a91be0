import colorsys

import jax
import numpy as np

from facerep_jax.ops import colour


def test_hue_is_direction_and_saturation_is_length():
  rng = np.random.default_rng(0)
  flow = rng.normal(0, 0.15, (5, 6, 2)).astype(np.float32)
  flow[0, 0] = 0
  got = np.asarray(jax.jit(colour.flow_to_rgb)(flow))
  for (y, x), _ in np.ndenumerate(flow[..., 0]):
    u, v = flow[y, x].astype(float)
    hue = np.arctan2(v, u) / (2 * np.pi) % 1
    want = colorsys.hsv_to_rgb(hue, min(np.hypot(u, v) / 0.25, 1), 1)
    # Float32 trigonometry, steepest where hue changes six times a turn.
    np.testing.assert_allclose(got[y, x], want, atol=1e-5)
  assert np.array_equal(got[0, 0], [1, 1, 1])
