"""Takes HDR and wide-gamut video to the sRGB that pictures are stored in.

HDR is shown as an SDR display would show it whose white is the diffuse white
of HDR (203 cd/m2): up to `KNEE` of that, light is kept; above, highlights of
up to 1,000 cd/m2 are rolled off smoothly to 255. Diffuse white itself comes to
241. Light is converted from BT.2020 or Display P3
to BT.709 primaries. What lies outside of that gamut is cut off.

Sources: ITU-R BT.2100-2 (PQ, HLG), BT.2408-5 (diffuse white), BT.2020-2.
"""

import functools

import numpy as np

from facerep_jax.files import colour

PQ, HLG = 16, 18  # Transfer characteristics, as numbered in ITU-T H.273.
BT709, UNKNOWN, BT2020, P3 = 1, 2, 9, 12  # Primaries, as numbered there.
WHITE_NITS = 203.0  # cd/m2 of diffuse white.
PEAK_NITS = 1000.0  # Brighter light is cut off.
KNEE = 0.75  # Share of white up to which light is kept as it is.

_FULL = 65535
_HLG_GAMMA = 1.2  # Of a display with a peak of 1,000 cd/m2.
_BT2020_LUMA = np.array([0.2627, 0.6780, 0.0593], np.float32)
_D65 = (0.3127, 0.3290)
_CORNERS = {  # x, y of red, green and blue.
  BT709: ((0.640, 0.330), (0.300, 0.600), (0.150, 0.060)),
  BT2020: ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046)),
  P3: ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060)),
}


def is_hdr(transfer: int) -> bool:
  """Tells whether a transfer characteristic is PQ or HLG."""
  return transfer in (PQ, HLG)


def is_needed(transfer: int, primaries: int) -> bool:
  """Tells whether pixels must pass through `to_srgb`."""
  return is_hdr(transfer) or primaries in (BT2020, P3)


def to_srgb(pixels: np.ndarray, transfer: int, primaries: int) -> np.ndarray:
  """Converts a picture.

  Args:
    pixels: uint16 [H, W, 3] RGB, full range, coded by `transfer`.
    transfer: H.273 number; all but PQ and HLG count as sRGB.
    primaries: H.273 number; unknown ones of HDR count as BT.2020.

  Returns:
    uint8 [H, W, 3] sRGB.
  """
  # Planes, and whole arrays at a time: several times as fast.
  light = [_light_table(transfer).take(pixels[..., i]) for i in range(3)]
  if transfer == HLG:  # From light of the scene to that of the display.
    gain = _mix(_BT2020_LUMA, light) ** np.float32(_HLG_GAMMA - 1)
    gain *= PEAK_NITS / WHITE_NITS
    light = [plane * gain for plane in light]
  if primaries == UNKNOWN and is_hdr(transfer):
    primaries = BT2020
  if primaries in (BT2020, P3):
    light = [_mix(row, light) for row in _to_bt709(primaries)]
  if is_hdr(transfer):
    brightest = np.maximum.reduce(light)
    is_high = brightest > KNEE
    high = brightest[is_high]
    for plane in light:
      plane[is_high] *= roll_off(high) / high
  index = [np.rint(np.clip(x, 0, 1) * _FULL).astype(np.uint16) for x in light]
  return np.stack([_srgb_table().take(x) for x in index], -1)


def _mix(weights, planes):
  return sum(weight * plane for weight, plane in zip(weights, planes))


def roll_off(light: np.ndarray) -> np.ndarray:
  """Compresses highlights: the identity up to `KNEE`, then Reinhard's curve.

  Args:
    light: Linear, 1 is diffuse white.

  Returns:
    The same up to `KNEE`, 1 at `PEAK_NITS`, smooth and rising between, at most
    1.

  Source: Reinhard et al., "Photographic tone reproduction", 2002, equation 4.
  """
  over = np.maximum(light - KNEE, 0) / (1 - KNEE)
  peak = (PEAK_NITS / WHITE_NITS - KNEE) / (1 - KNEE)
  over = np.minimum(over, peak)
  bent = over * (1 + over / peak**2) / (1 + over)
  return np.where(light <= KNEE, light, KNEE + (1 - KNEE) * bent)


@functools.cache
def _light_table(transfer):
  """Returns float32 [65536]: light of a value, before HLG's display gamma."""
  value = np.arange(_FULL + 1) / _FULL
  if transfer == PQ:
    light = pq_nits(value) / WHITE_NITS
  elif transfer == HLG:
    light = hlg_light(value)
  else:
    light = np.where(
      value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4
    )
  return light.astype(np.float32)


def pq_nits(value: np.ndarray) -> np.ndarray:
  """Returns the light, in cd/m2, of PQ values from 0 to 1."""
  m1, m2 = 2610 / 16384, 2523 / 4096 * 128
  c1, c2, c3 = 3424 / 4096, 2413 / 4096 * 32, 2392 / 4096 * 32
  power = value ** (1 / m2)
  return 10_000 * (np.maximum(power - c1, 0) / (c2 - c3 * power)) ** (1 / m1)


def hlg_light(value: np.ndarray) -> np.ndarray:
  """Returns the light of the scene, 0 to 1, of HLG values from 0 to 1."""
  a, b, c = 0.17883277, 0.28466892, 0.55991073
  return np.where(
    value <= 0.5, value**2 / 3, (np.exp((value - c) / a) + b) / 12
  )


@functools.cache
def _srgb_table():
  values = colour.srgb_of_light(np.arange(_FULL + 1) / _FULL)
  return np.rint(255 * values).astype(np.uint8)


@functools.cache
def _to_bt709(primaries):
  matrix = np.linalg.inv(_to_xyz(BT709)) @ _to_xyz(primaries)
  return matrix.astype(np.float32)


def _to_xyz(primaries):
  """Returns the matrix from linear RGB to XYZ; white has a Y of 1."""
  columns = [_xyz(place) for place in _CORNERS[primaries]]
  corners = np.stack(columns, 1)
  return corners * np.linalg.solve(corners, _xyz(_D65))


def _xyz(place):
  x, y = place
  return np.array([x / y, 1, (1 - x - y) / y])
