import pytest

from facerep_jax import errors
from facerep_jax.data import cache
from facerep_jax.data.labelled import open_set
from tests.tracks import helpers


@pytest.mark.parametrize(
  "text, message",
  [
    ("", "expected synthetic or KIND:PATH"),
    ("mafl:x", "with KIND one of aflw2000, csv, fer2013"),
    ("lfw", "'lfw': expected synthetic or KIND:PATH"),
    ("lfw:", "expected synthetic or KIND:PATH"),
    ("synthetic:large", "expected synthetic or synthetic:benchmark or synth"),
    ("tracks:x:frame=2", "option 'frame' is unknown; known: cut, frames"),
    ("tracks:x:frames=2:frames=3", "option 'frames' is twice"),
    ("tracks:x:frames=two", "'frames' is 'two', expected a whole number"),
    ("tracks:x:memory=1", "'memory' is '1', expected yes or no"),
    ("tracks::frames=2", "expected a path"),
    ("lfw:x:cut=tight", "cut is 'tight', expected one of track, face, photo"),
  ],
)
def test_texts_that_say_nothing(text, message):
  with pytest.raises(errors.InputError, match=message):
    open_set.open_data(text)


@pytest.mark.parametrize("kind", sorted(open_set._KINDS))
def test_what_is_absent_is_one_line(kind, tmp_path, monkeypatch):
  monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
  path = "lfw" if kind == "tfds" else tmp_path / "none"
  with pytest.raises(errors.InputError, match=str(tmp_path)) as caught:
    open_set.open_data(f"{kind}:{path}")
  assert "\n" not in str(caught.value)


def test_paths_may_hold_colons(tmp_path):
  folder = tmp_path / "a:b=c:d"
  helpers.write_dataset(folder, [helpers.track(0)])
  assert len(open_set.open_data(f"tracks:{folder}:frames=1")["train"]) == 1


@pytest.mark.parametrize("text", ["synthetic", "synthetic:benchmark"])
def test_synthetic_is_the_benchmark_of_the_cache(text, tmp_path, monkeypatch):
  helpers.write_dataset(tmp_path, [helpers.track(0)])
  monkeypatch.setattr(cache, "benchmark", lambda: str(tmp_path), raising=False)
  assert len(open_set.open_data(text)["train"]) == 4
  assert len(open_set.open_data(f"{text}:frames=2")["train"]) == 2
  assert open_set.folder(text) == str(tmp_path)


def test_other_kinds_have_no_folder_of_tracks():
  assert open_set.folder("lfw:somewhere") is None
