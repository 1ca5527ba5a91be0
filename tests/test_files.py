import pytest

from facerep_jax import files


def test_files_appear_whole_or_not_at_all(tmp_path):
  path = tmp_path / "a" / "b.txt"
  with files.whole(path) as temporary:
    temporary.write_text("one")
    assert not path.exists() and temporary.parent == path.parent
  assert path.read_text() == "one"
  with pytest.raises(KeyError), files.whole(path) as temporary:
    temporary.write_text("tw")
    raise KeyError
  assert path.read_text() == "one"
  assert [p.name for p in path.parent.iterdir()] == ["b.txt"]
