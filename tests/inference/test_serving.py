import json
import subprocess
import sys

import jax
import numpy as np
import pytest

from facerep_jax import errors
from facerep_jax.inference import serving
from tests import made_up_models

# Only what a server has: this package is not imported.
_SERVER = """
import pathlib, sys
import jax.export, numpy as np
content = bytearray(pathlib.Path(sys.argv[1]).read_bytes())
program = jax.export.deserialize(content)
images = np.load(sys.argv[2])
found = {f"{n}/{k}": v for n in (1, 5)
         for k, v in program.call(images[:n]).items()}
np.savez(sys.argv[3], **found)
assert not any(name.startswith("facerep") for name in sys.modules)
"""


@pytest.mark.parametrize("kind", ["fabnet", "diffusion"])
def test_a_program_gives_the_features_of_its_model(tmp_path, kind):
  model = made_up_models.representation(kind)
  path = tmp_path / "name.jaxexport"
  about = serving.save(model, path)
  assert json.loads((tmp_path / "name.json").read_text()) == about
  assert about["platforms"] == ["cpu", "cuda", "tpu"]
  size = model.size_px
  rng = np.random.default_rng(0)
  images = rng.integers(0, 256, (5, size, size, 3)).astype(np.uint8)
  np.save(tmp_path / "images.npy", images)
  files = [str(tmp_path / x) for x in ("images.npy", "found.npz")]
  subprocess.run(
    [sys.executable, "-c", _SERVER, str(path), *files],
    check=True,
    cwd=tmp_path,
  )
  want = model.embed(images, is_cropped=True)
  assert about["features"] == {k: v.shape[1] for k, v in want.items()}
  with np.load(tmp_path / "found.npz") as found:
    assert len(found.files) == 2 * len(want)
    for name, value in want.items():
      # Another batch size is another program: float32 rounding, through the
      # sampler's steps too.
      atol = 1e-4 * np.abs(value).max()
      np.testing.assert_allclose(found[f"5/{name}"], value, atol=atol)
      np.testing.assert_allclose(found[f"1/{name}"], value[:1], atol=atol)


def test_a_platform_that_is_not_in_it_is_refused(tmp_path, monkeypatch):
  monkeypatch.setattr(serving, "PLATFORMS", ("cuda", "tpu"))
  model = made_up_models.representation("fabnet")
  serving.save(model, tmp_path / "name.jaxexport")
  content = bytearray((tmp_path / "name.jaxexport").read_bytes())
  program = jax.export.deserialize(content)
  size = model.size_px
  with pytest.raises(ValueError, match="cuda"):
    program.call(np.zeros((1, size, size, 3), np.uint8))


def test_without_flatbuffers_one_line_says_so(tmp_path, monkeypatch):
  monkeypatch.setitem(sys.modules, "flatbuffers", None)
  model = made_up_models.representation("fabnet")
  with pytest.raises(errors.InputError, match=r"facerep_jax\[serving\]"):
    serving.save(model, tmp_path / "name.jaxexport")
  assert not list(tmp_path.iterdir())
