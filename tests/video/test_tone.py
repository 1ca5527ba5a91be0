import numpy as np
import pytest

from facerep_jax.video import tone


@pytest.mark.parametrize(
  ("value", "nits"),  # BT.2408-5, table 1 and 2: signal levels of PQ.
  [(0.0, 0), (0.58, 203), (0.75, 983), (0.508, 100), (1.0, 10_000)],
)
def test_pq_gives_the_light_of_the_standard(value, nits):
  np.testing.assert_allclose(
    tone.pq_nits(np.array(value)), nits, rtol=0.01, atol=1e-6
  )


@pytest.mark.parametrize(
  ("value", "light"),  # BT.2100-2, table 5.
  [(0.0, 0), (0.5, 1 / 12), (0.75, 0.2650), (1.0, 1.0), (0.25, 1 / 48)],
)
def test_hlg_gives_the_light_of_the_standard(value, light):
  np.testing.assert_allclose(
    tone.hlg_light(np.array(value)), light, rtol=1e-3, atol=1e-9
  )


def test_highlights_are_rolled_off_and_the_rest_is_kept():
  light = np.linspace(0, 8, 801)
  bent = tone.roll_off(light)
  kept = light <= tone.KNEE
  np.testing.assert_array_equal(bent[kept], light[kept])
  assert (np.diff(bent[light < tone.PEAK_NITS / 203]) > 0).all()
  np.testing.assert_allclose(bent[light > tone.PEAK_NITS / 203], 1)
  step = np.diff(bent) / 0.01
  assert np.abs(np.diff(step)).max() < 0.1  # No corner at the knee.


def test_sdr_values_are_kept():
  grey = np.arange(256, dtype=np.uint16)[:, None, None].repeat(3, 2) * 257
  got = tone.to_srgb(grey, 1, tone.BT709)
  np.testing.assert_array_equal(got, (grey // 257).astype(np.uint8))
  # Grey has no gamut.
  got = tone.to_srgb(grey, 1, tone.P3).astype(int)
  assert np.abs(got - grey // 257).max() <= 1


def test_display_p3_is_converted():
  # P3 of sRGB's red (255, 0, 0), as colour pickers give it.
  pixels = np.array([[[234, 51, 35]]], np.uint16) * 257
  got = tone.to_srgb(pixels, 13, tone.P3)[0, 0].astype(int)
  assert np.abs(got - (255, 0, 0)).max() <= 8


@pytest.mark.parametrize("transfer", [tone.PQ, tone.HLG])
def test_black_and_white_stay_grey(transfer):
  pixels = np.array([[[0] * 3, [65535] * 3, [40_000] * 3]], np.uint16)
  got = tone.to_srgb(pixels, transfer, tone.BT2020)
  assert got[0, 0].tolist() == [0, 0, 0]
  assert got[0, 1].tolist() == [255, 255, 255]
  assert np.ptp(got[0, 2].astype(int)) <= 1
  unknown = tone.to_srgb(pixels, transfer, tone.UNKNOWN)
  np.testing.assert_array_equal(unknown, got)
