"""The packaged ICT heads: their file, and what the reduction costs."""

import numpy as np
import pytest

from facerep_jax import cli, errors
from facerep_jax.synthetic import head, ict, ict_packed, ict_reduce


@pytest.fixture(scope="module")
def model():
  return ict_packed.model()


@pytest.fixture
def arrays():
  with np.load(ict_packed.PATH, allow_pickle=False) as file:
    return dict(file)


def test_package_holds_a_small_file_and_its_licence():
  assert ict_packed.PATH.stat().st_size < 3_000_000
  text = ict_packed.PATH.with_name("ICT_LICENSE.txt").read_text()
  assert text.startswith("MIT License") and "Creative Technologies" in text


def test_interface_is_the_built_in_one(model):
  base = head.built_in()
  assert model.chart is base.chart
  assert model.template.shape == base.template.shape
  assert model.template.dtype == np.float64
  assert model.shape_basis.shape == (ict_reduce.NUM_MODES, *base.template.shape)
  assert model.action_basis.shape == base.action_basis.shape
  for basis in (model.shape_basis, model.action_basis):
    assert basis.dtype == np.float32 and np.isfinite(basis).all()
  assert (np.abs(model.action_basis).max(axis=(1, 2)) > 0.005).all()
  trunk = base.t > 1.75
  np.testing.assert_allclose(
    model.template[trunk], base.template[trunk], atol=1e-6
  )
  for field in (model.template, *model.shape_basis, *model.action_basis):
    rows = field.reshape(*model.chart.shape, 3)
    np.testing.assert_allclose(rows[:, 0], rows[:, -1], atol=1e-7)
  assert ict_packed.model() is model


@pytest.mark.parametrize("bits", [8, 16])
def test_packing_rounds_to_half_a_step(bits):
  full = head.built_in()
  got = ict_packed.unpack(ict_packed.pack(full, 7, bits))
  for name, count in (("shape_basis", 7), ("action_basis", 20)):
    want, have = getattr(full, name)[:count], getattr(got, name)
    most = np.abs(want).max(axis=(1, 2), keepdims=True)
    step = most / (2 ** (bits - 1) - 1)
    assert (np.abs(have - want) <= 0.51 * step).all()
  np.testing.assert_allclose(got.template, full.template, atol=1e-6)


def test_compare_measures_distances_in_mm():
  full = head.built_in()
  same = ict_reduce.compare(full, full, num_heads=2)
  assert same == ((0, 0), (0, 0))
  fewer = ict_packed.unpack(ict_packed.pack(full, 30, 16))
  (rms, most), _ = ict_reduce.compare(full, fewer, num_heads=3)
  assert 0.5 < rms < most < 30
  (rms, most), (moved, _) = ict_reduce.compare(
    full, ict_packed.unpack(ict_packed.pack(full, 59, 8)), num_heads=3
  )
  assert 0.001 < rms < most < 1 and moved > rms


def test_packaged_heads_are_ict_s_within_a_third_of_a_millimetre(shared, model):
  full = ict.model(str(shared / "data" / "ict_facekit" / "ict_facekit.npz"))
  rest, moved = ict_reduce.compare(full, model, num_heads=50)
  assert rest[0] < 0.08 and rest[1] < 0.35
  assert moved[0] < 0.09 and moved[1] < 0.45


def test_tool_makes_the_packaged_file(shared, tmp_path, capsys, model):
  output = tmp_path / "heads.npz"
  source = shared / "data" / "ict_facekit" / "ict_facekit.npz"
  assert ict_reduce.main([f"--source={source}", f"--output={output}"]) is None
  assert capsys.readouterr().out.count("\n") == 2
  got = ict_packed.read(str(output))
  np.testing.assert_allclose(got.template, model.template, atol=1e-6)
  np.testing.assert_allclose(got.shape_basis, model.shape_basis, atol=1e-3)
  np.testing.assert_allclose(got.action_basis, model.action_basis, atol=3e-3)


@pytest.mark.parametrize(
  ("change", "message"),
  [
    ({"s": np.zeros(5)}, "another chart"),
    ({"template": np.zeros((4, 3), np.float32)}, "template is float32"),
    ({"shape": np.zeros((100, 5621, 3))}, "shape is float64"),
    ({"shape": np.zeros((3, 5621, 3), np.int8)}, "shape is int8"),
    ({"action": np.zeros((20, 1, 3), np.int8)}, "action is int8"),
    ({"action_scale": np.zeros(20)}, "action_scale is float64"),
  ],
)
def test_file_that_does_not_fit_is_refused(tmp_path, arrays, change, message):
  path = tmp_path / "x.npz"
  np.savez(path, **arrays | change)
  with pytest.raises(errors.InputError, match=message) as caught:
    ict_packed.read(str(path))
  assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_file_that_cannot_be_read_is_one_line(tmp_path, arrays):
  path = tmp_path / "x.npz"
  with pytest.raises(errors.InputError, match="Install the package again"):
    ict_packed.read(str(path))
  whole = ict_packed.PATH.read_bytes()
  middle = len(whole) // 2
  damaged = whole[:middle] + bytes(64) + whole[middle + 64 :]
  code = np.array([{}], object)
  for write in (
    lambda: path.write_bytes(b""),
    lambda: path.write_bytes(b"PK"),
    lambda: path.write_bytes(whole[:middle]),
    lambda: path.write_bytes(damaged),
    lambda: np.savez(path, **arrays | {"shape": code}),  # Would be a pickle.
    lambda: path.write_bytes(b"\x93NUMPY not an archive"),
  ):
    write()
    with pytest.raises(errors.InputError, match="not a packed head") as caught:
      ict_packed.read(str(path))
    assert "\n" not in str(caught.value)
  np.save(tmp_path / "x.npy", np.zeros(3))
  with pytest.raises(errors.InputError, match="not a packed head"):
    ict_packed.read(str(tmp_path / "x.npy"))
  del arrays["t"], arrays["shape"]
  np.savez(path, **arrays)
  with pytest.raises(errors.InputError, match=r"lacks t, shape\. Make it"):
    ict_packed.read(str(path))


@pytest.mark.parametrize(
  ("options", "message"),
  [
    (["--source=/none", "--output=x"], "/none: cannot be read"),
    (["--source=/none"], "--output: expected a file"),
    (["--output=x"], "--source"),
  ],
)
def test_bad_options_are_one_line(capsys, options, message):
  code = cli.run(lambda _: ict_reduce.main(options))
  err = capsys.readouterr().err
  assert code == 1 and message in err and err.count("\n") == 1


@pytest.mark.parametrize(
  ("num_modes", "bits", "message"),
  [(0, 8, "1 to 59"), (60, 8, "1 to 59"), (9, 12, "8 or 16")],
)
def test_reductions_that_are_none(num_modes, bits, message):
  with pytest.raises(errors.InputError, match=message):
    ict_packed.pack(head.built_in(), num_modes, bits)
