import jax
import numpy as np
import pytest

from facerep_jax import errors
from facerep_jax.faces import collapse

NUM, SIZE = 6, 20
INNER = slice(4, 16)  # 60 % of the side.


def _healthy():
  """Made-up outputs of a good model, by the names of `measure`."""
  rng = np.random.default_rng(0)
  y, x = np.mgrid[:SIZE, :SIZE] / (SIZE - 1) * 2 - 1
  bump = 1 - 0.05 * np.exp(-2 * (x**2 + y**2))
  modes = rng.normal(0, 0.005, (NUM, 1, 1))
  light = rng.uniform(0.1, 0.3, (NUM, 1, 1))
  return {
    "depth": bump + modes * x**2,
    "albedo11": rng.uniform(-0.6, 0.6, (NUM, SIZE, SIZE, 3)),
    "shading": 0.7 + light * x,
    "angles_deg": rng.normal(0, [5, 15, 3], (NUM, 3)),
    "sigma": rng.uniform(0.1, 0.3, (NUM, SIZE, SIZE, 2)),
  }


def _measure(**changes):
  arrays = _healthy() | changes
  arrays = {
    name: None if x is None else np.asarray(x, np.float32)
    for name, x in arrays.items()
  }
  values = jax.jit(collapse.measure)(**arrays)
  return {name: float(value) for name, value in values.items()}


def _share(whole, part):
  """Squared correlation in float64, place by place."""
  sums = np.zeros(3)
  for a, b in zip(whole, part):
    a, b = a - a.mean(), b - b.mean()
    sums += (a * b).sum(), (a * a).sum(), (b * b).sum()
  return sums[0] ** 2 / (sums[1] * sums[2])


def _roughness(forms):
  """Size of second differences against that of the values, in float64."""
  bends = []
  for x in (*forms, *forms.swapaxes(1, 2)):
    bends += [
      row[i - 1] - 2 * row[i] + row[i + 1] for row in x for i in range(1, 11)
    ]
  return (np.mean(np.square(bends)) / np.mean(np.square(forms))) ** 0.5


def test_measurements_match_plain_formulas():
  made = _healthy()
  got = _measure()
  depth, shading = (made[k][:, INNER, INNER] for k in ("depth", "shading"))
  albedo = made["albedo11"][:, INNER, INNER].mean(-1) / 2 + 0.5
  forms = np.stack([x - x.mean() for x in depth])
  want = {
    "depth_relief": depth.mean(0).std(),
    "depth_variety": np.sqrt(np.mean(forms.var(0))),
    "depth_roughness": _roughness(forms),
    "pitch_std_deg": made["angles_deg"][:, 0].std(),
    "yaw_std_deg": made["angles_deg"][:, 1].std(),
    "shading_std": np.sqrt(np.mean([x.var() for x in shading])),
    "shading_range": np.mean([np.ptp(x) for x in shading]),
    "albedo_share": _share(albedo * shading, albedo),
    "light_share": _share(albedo * shading, shading),
    "sigma": made["sigma"][..., 0].mean(),
    "sigma_mirror": made["sigma"][..., 1].mean(),
  }
  assert set(got) == set(want)
  for name, value in want.items():
    # Float32 deviations of 0.01 about depths of 1.
    np.testing.assert_allclose(got[name], value, rtol=1e-3, err_msg=name)


def test_healthy_model_gives_no_warning():
  assert collapse.warnings(_measure()) == {}


@pytest.mark.parametrize(
  ("name", "change", "says"),
  [
    ("depth_relief", lambda x: x - x.mean(0), "shape is flat"),
    ("depth_variety", lambda x: x[:1] + 0 * x, "share one shape"),
    (
      "depth_roughness",
      lambda x: x + np.random.default_rng(1).normal(0, 0.02, x.shape),
      "shape is noise",
    ),
    ("yaw_std_deg", lambda x: 0.01 * x + 20, "view is frozen"),
    ("shading_std", lambda x: 0 * x + 0.8, "albedo explains everything"),
    ("albedo_share", lambda x: 0 * x + 0.3, "light explains everything"),
    ("sigma", lambda x: x + 2, "confidence gives up"),
  ],
)
def test_each_collapse_is_named(name, change, says):
  part = {
    "depth_relief": "depth",
    "depth_variety": "depth",
    "depth_roughness": "depth",
    "yaw_std_deg": "angles_deg",
    "shading_std": "shading",
    "albedo_share": "albedo11",
    "sigma": "sigma",
  }[name]
  values = _measure(**{part: change(_healthy()[part])})
  found = collapse.warnings(values)
  assert set(found) == {name}
  assert found[name].startswith(f"{name} is ") and says in found[name]
  assert all(np.isfinite(list(values.values())))
  assert f"{values[name]:.2g}" in found[name]


def test_every_rule_is_of_a_measurement():
  assert {rule.name for rule in collapse.RULES} <= set(_measure())


def test_shares_of_extreme_explanations():
  made = _healthy()
  flat_light = _measure(shading=0 * made["shading"] + 0.8)
  np.testing.assert_allclose(flat_light["albedo_share"], 1, rtol=1e-4)
  assert flat_light["light_share"] == 0
  blank = _measure(albedo11=0 * made["albedo11"])
  np.testing.assert_allclose(blank["light_share"], 1, rtol=1e-4)
  assert blank["albedo_share"] == 0


def test_what_lies_outside_the_face_does_not_matter():
  made = _healthy()
  depth = made["depth"].copy()
  depth[:, :4] += 0.1
  assert _measure(depth=depth) == _measure()


def test_without_confidence():
  values = _measure(sigma=None)
  assert "sigma" not in values
  assert collapse.warnings(values) == {}


def test_shapes_that_do_not_fit_are_refused():
  with pytest.raises(errors.InputError, match="shading: expected"):
    _measure(shading=np.ones((NUM, SIZE, SIZE, 1)))
  with pytest.raises(errors.InputError, match="angles_deg: expected"):
    _measure(angles_deg=np.ones((NUM, 6)))
