import numpy as np

from facerep_jax import stage_inputs


def test_moments_are_those_of_the_codes():
  codes = np.random.default_rng(0).normal(3, [1.0, 2.0, 4.0], (500, 3))
  found = stage_inputs._moments(codes.astype(np.float32))
  # Float32 sums of 500 numbers.
  np.testing.assert_allclose(found["mean"], codes.mean(axis=0), rtol=1e-5)
  np.testing.assert_allclose(found["deviation"], codes.std(axis=0), rtol=1e-5)


def test_what_is_rare_does_not_become_huge():
  codes = np.random.default_rng(0).normal(size=(1000, 4)).astype(np.float32)
  codes[:, 2] = 0
  codes[:, 3] = 0
  codes[7, 3] = 1
  found = stage_inputs._moments(codes)
  assert found["deviation"].dtype == np.float32
  scaled = (codes - found["mean"]) / found["deviation"]
  # A tenth of the mean deviation of two ordinary numbers and two small ones,
  # where the rare number's own would make it 32.
  assert 15 < scaled[7, 3] < 25
  np.testing.assert_array_equal(scaled[:, 2], 0)


def test_codes_that_never_vary_stay_finite():
  found = stage_inputs._moments(np.ones((10, 3), np.float32))
  np.testing.assert_array_equal(found["mean"], 1)
  assert (found["deviation"] > 0).all()
