import pytest

from facerep_jax import errors
from facerep_jax.data import name_pattern, sources


@pytest.fixture
def folder(tmp_path):
  for name in ("a" * 40 + "!.jpg", "b-1.jpg", "b-2.jpg"):
    (tmp_path / name).write_bytes(b"x")
  return str(tmp_path)


@pytest.mark.parametrize("pattern", ["^(a+)+$", "^(a|aa)+$", "(a*)*b$"])
def test_patterns_without_end_are_refused(folder, monkeypatch, pattern):
  monkeypatch.setattr(name_pattern, "LIMIT_S", 0.3)
  with pytest.raises(errors.InputError, match="takes longer than") as caught:
    sources.collect([sources.Source(folder, "flat", pattern)])
  assert "\n" not in str(caught.value)


def test_patterns_of_frames_are_tried_too(tmp_path, monkeypatch):
  monkeypatch.setattr(name_pattern, "LIMIT_S", 0.3)
  place = tmp_path / ("a" * 40) / "v" / "t"
  place.mkdir(parents=True)
  (place / "1.jpg").write_bytes(b"x")
  with pytest.raises(errors.InputError, match="takes longer than"):
    sources.collect([sources.Source(str(tmp_path), "frames", "^(a+)+$")])


@pytest.mark.parametrize("pattern", ["(", "(?P<1>a)", "a{99999999999}"])
def test_what_is_no_pattern_is_refused(folder, pattern):
  with pytest.raises(errors.InputError, match="not a regular expression"):
    sources.collect([sources.Source(folder, "flat", pattern)])


def test_patterns_keep_their_meaning(folder):
  pattern = r"^(?!a)(\w)|^(a)(?=a)"  # What linear matchers do not know.
  with pytest.raises(errors.InputError, match="group 1 must match in aaa"):
    sources.collect([sources.Source(folder, "flat", pattern)])
  units = sources.collect([sources.Source(folder, "flat", r"(?<!-)(\w)")])
  assert [x.person for x in units[0].entries] == ["a", "b", "b"]


def test_names_that_are_no_unicode_are_tried():
  name_pattern.check("(.+)", ["a\udcff", "Zoë"])
