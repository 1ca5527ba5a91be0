import itertools

import jax
import numpy as np
import pytest

torch = pytest.importorskip("torch")

from facerep_jax.benchmarks import compiled, fabnet, timing  # noqa: E402
from facerep_jax.benchmarks.reference import torch_fabnet  # noqa: E402
from tests.oracles import fabnet_torch  # noqa: E402

SIZES = {"size": 32, "width": 4, "embed_dim": 8}


@pytest.fixture(autouse=True)
def _optax_mixes_types():
  with jax.numpy_dtype_promotion("standard"):
    yield


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
  """Threads that wait for each other are slow where others compute too."""
  before = torch.get_num_threads()
  torch.set_num_threads(1)
  yield
  torch.set_num_threads(before)


def test_model_gives_the_golden_numbers(golden, tmp_path):
  fabnet_torch.write_golden(tmp_path / "new.npz")
  want = np.load(golden / "fabnet_small.npz")
  got = np.load(tmp_path / "new.npz")
  assert set(got.files) == set(want.files)
  for name in want.files:
    # Other versions and machines sum in another order; bilinear cells flip,
    # which moves gradients more. Values are of order one.
    rtol = 1e-2 if "gradnorm" in name else 1e-4
    np.testing.assert_allclose(
      got[name], want[name], rtol=rtol, atol=1e-4, err_msg=name
    )


@pytest.fixture(scope="module")
def ours():
  with jax.numpy_dtype_promotion("standard"):
    return fabnet.Ours(32, 4, SIZES["width"], SIZES["embed_dim"])


def make(ours, form):
  return torch_fabnet.Baseline(
    ours.torch_state(), SIZES, ours.frames, fabnet.TORCH_FORMS[form], "cpu"
  )


@pytest.fixture(params=fabnet.CPU_FORMS)
def baseline(ours, request):
  return make(ours, request.param)


@pytest.mark.parametrize("work", ["train", "train_no_mask"])
def test_both_train_alike(ours, baseline, work):
  program = ours.compile(work)
  mine = [float(program.call()) for _ in range(4)]
  theirs = [
    baseline.train_step(
      learning_rate=1e-3, momentum=0.9, use_mask=work == "train"
    )
    for _ in range(4)
  ]
  assert max(mine) - min(mine) > 1e-3  # The steps count.
  # Float32 rounding, which training amplifies.
  np.testing.assert_allclose(theirs, mine, rtol=1e-4)


def test_both_encode_alike(ours, baseline):
  want = ours.compile("encode").call()
  np.testing.assert_allclose(baseline.encode(), want, atol=1e-5, rtol=1e-4)


def test_bfloat16_is_near_and_not_the_same(ours):
  want, got = make(ours, "eager").encode(), make(ours, "bfloat16").encode()
  greatest = np.abs(want).max()
  assert 1e-4 * greatest < np.abs(got - want).max() < 0.05 * greatest


@pytest.mark.slow
def test_a_compiled_network_trains_alike(ours):
  rates = {"learning_rate": 1e-3, "momentum": 0.9, "use_mask": True}
  eager, compiled_form = make(ours, "eager"), make(ours, "compile")
  want = [eager.train_step(**rates) for _ in range(3)]
  got = [compiled_form.train_step(**rates) for _ in range(3)]
  np.testing.assert_allclose(got, want, rtol=1e-4)


def test_rows_hold_the_ratio(monkeypatch):
  monkeypatch.setattr(
    fabnet.Ours,
    "compile",
    lambda self, work: compiled.Program(lambda: None, 1.5, 3_000_000),
  )
  # A turn does the work, and is said to take as many seconds as calls before.
  count = itertools.count(1)
  monkeypatch.setattr(
    timing, "repeated", lambda call: lambda: (call(), next(count))[1]
  )
  section = fabnet.measure({32: 2}, width=2, embed_dim=4, limit_s=0)
  for row in section.rows:
    assert row["torch_format"] in fabnet.CPU_FORMS
    assert row["ratio"] == pytest.approx(row["ours_per_s"] / row["torch_per_s"])
    assert row["ratio"] > 1  # The first of each round.
    assert row["ratio_of_best"] > 1


def test_devices_by_backend():
  assert torch_fabnet.device("cpu") == "cpu"
  assert torch_fabnet.device("tpu") is None
