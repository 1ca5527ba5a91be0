"""Other machines draw what one machine drew, as near as is promised."""

from facerep_jax.tracks import schema
from tests.golden import synthetic


def test_this_machine_draws_what_another_drew():
  apart = synthetic.compare(synthetic.draw())
  told = (
    f"{apart}; if pictures or labels were meant to change, raise "
    "generator.VERSION and run: python -m tests.golden.synthetic --write"
  )
  assert apart.pop("version") == 0, told
  # Of 255, before JPEG: the tone curve's last bits round up or down.
  assert apart.pop("frames") <= 2, told
  assert apart.pop("mask") == 0, told
  # The promise for labels; float32 carries 4e-6 of 32 px and of 20 units.
  # The focal length follows from what depth and landmarks pin.
  others = {"detected", "box_px", "frontal", "focal_px", "time_s"}
  others |= {"action_units_sided"}  # The file has its mean, `action_units`.
  assert set(apart) == {"depth", *schema.LABELS} - others
  for name, value in apart.items():
    assert value <= 1e-5, (name, told)


def test_file_is_small():
  assert synthetic.PATH.stat().st_size < 100_000
