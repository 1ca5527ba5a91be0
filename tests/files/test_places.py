import pathlib

import pytest

from facerep_jax import cli, errors
from facerep_jax.data.labelled import tfds_sets
from facerep_jax.files import places


@pytest.mark.parametrize(
  ("given", "want"),
  [
    ("--output=~/x", "--output=/me/x"),
    ("~/x", "/me/x"),
    ("--output=~", "--output=/me"),
    ("--also=~/a,b,~/c", "--also=/me/a,b,/me/c"),
    ("--data=lfw:~/lfw:cut=face", "--data=lfw:/me/lfw:cut=face"),
    ("--source=synthetic:ict=~/ict", "--source=synthetic:ict=/me/ict"),
    ("--config.data.path=~/t", "--config.data.path=/me/t"),
    # Names in which it is a letter as others.
    ("--output=./~/x", "--output=./~/x"),
    ("--output=a~/x", "--output=a~/x"),
    ("--images=~$doc", "--images=~$doc"),
  ],
)
def test_home_is_put_in_the_place_of_its_sign(given, want, monkeypatch):
  monkeypatch.setenv("HOME", "/me")
  got = []
  monkeypatch.setattr("sys.argv", ["command", given])
  assert cli.run(got.extend) == 0
  assert got == [want]


@pytest.fixture
def no_home(monkeypatch):
  def none():
    raise RuntimeError("Could not determine home directory.")

  monkeypatch.setattr(pathlib.Path, "home", none)
  for name in ("FACEREP_CACHE", "XDG_CACHE_HOME", "TFDS_DATA_DIR"):
    monkeypatch.delenv(name, raising=False)


def test_without_a_home_what_is_said_suffices(no_home, monkeypatch, tmp_path):
  with pytest.raises(errors.InputError, match="Set FACEREP_CACHE to a folder"):
    places.cache_root()
  with pytest.raises(errors.InputError, match="Set TFDS_DATA_DIR to a folder"):
    tfds_sets._find("lfw", "")
  with pytest.raises(errors.InputError, match="--output=~/x: there is no home"):
    places.expand(["--output=~/x"])
  assert places.expand(["--output=x"]) == ["--output=x"]
  monkeypatch.setenv("XDG_CACHE_HOME", "/caches")
  assert places.cache_root() == pathlib.Path("/caches/facerep_jax")
  monkeypatch.setenv("FACEREP_CACHE", "/own")
  assert places.cache_root() == pathlib.Path("/own")
  with pytest.raises(errors.InputError, match="no prepared dataset in"):
    tfds_sets._find("lfw", str(tmp_path))


def test_place_of_caches(tmp_path, monkeypatch):
  monkeypatch.setenv("FACEREP_CACHE", str(tmp_path / "a"))
  monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "b"))
  assert places.cache_root() == tmp_path / "a"
  monkeypatch.delenv("FACEREP_CACHE")
  assert places.cache_root() == tmp_path / "b" / "facerep_jax"
  monkeypatch.delenv("XDG_CACHE_HOME")
  assert places.cache_root() == pathlib.Path.home() / ".cache" / "facerep_jax"


@pytest.mark.parametrize(
  ("argument", "name"),
  [
    ("--workdir=gs://bucket/run", "--workdir=gs://bucket/run"),
    ("--data=lfw:x", None),
    ("--config.data.path=s3://b/tracks", "--config.data.path=s3://b/tracks"),
    ("http://here/photos", "path=http://here/photos"),
    ("--images=a:b//c", None),
  ],
)
def test_addresses_of_stores_are_refused(argument, name):
  if name is None:
    assert places.expand([argument]) == [argument]
    return
  with pytest.raises(errors.InputError) as caught:
    places.expand([argument])
  assert str(caught.value).startswith(f"{name}: expected a path")
