import numpy as np
import pytest

from facerep_jax import errors


def test_check_shape_says_what_was_expected():
  frames = np.zeros((4, 3, 8, 8), np.float32)
  errors.check_shape("frames", frames, "N 3 S S")
  with pytest.raises(errors.InputError) as caught:
    errors.check_shape("frames", frames, "N H W 3", "Use NHWC.")
  assert str(caught.value) == (
    "frames: expected [N, H, W, 3], got float32[4, 3, 8, 8]. Use NHWC."
  )
  with pytest.raises(errors.InputError):  # One letter, two sizes.
    errors.check_shape("frames", frames, "N N S S")
  with pytest.raises(errors.InputError):
    errors.check_shape("frames", frames, "N 3 S")


def test_require_names_the_extra_only_when_the_module_is_absent(tmp_path):
  assert errors.require("json", "video", "x").__name__ == "json"
  with pytest.raises(errors.InputError, match=r'"facerep_jax\[video\]"'):
    errors.require("no_such_module", "video", "reading video")


def test_require_does_not_hide_what_is_missing_inside(tmp_path, monkeypatch):
  (tmp_path / "broken_module.py").write_text("import no_such_module\n")
  monkeypatch.syspath_prepend(tmp_path)
  with pytest.raises(ModuleNotFoundError, match="no_such_module"):
    errors.require("broken_module", "video", "x")
