import gzip

import pytest

from facerep_jax import errors
from facerep_jax.data.labelled import files


def test_rows_have_line_numbers_and_no_outer_blanks(tmp_path):
  path = tmp_path / "a.csv"
  path.write_text('\ufeffa, b\n1 , "x, y"\n\n2,z\n', encoding="utf-8")
  columns, rows = files.read_rows(path)
  assert columns == ("a", "b")
  assert list(rows) == [(2, ["1", "x, y"]), (4, ["2", "z"])]


def test_rows_through_gzip(tmp_path):
  path = tmp_path / "a.csv.gz"
  path.write_bytes(gzip.compress(b"a\n1\n"))
  columns, rows = files.read_rows(path)
  assert (columns, list(rows)) == (("a",), [(2, ["1"])])


@pytest.mark.parametrize(
  "text, message",
  [
    ("", "is empty, expected CSV"),
    ("a,a\n", "line 1: column 'a' is twice"),
    ("a,b\n1,2\n1\n", "line 3: expected 2 fields as in the header, got 1"),
  ],
)
def test_rows_that_do_not_fit(tmp_path, text, message):
  path = tmp_path / "a.csv"
  path.write_text(text)
  with pytest.raises(errors.InputError, match=message):
    _, rows = files.read_rows(path)
    list(rows)


def test_files_that_cannot_be_read(tmp_path):
  with pytest.raises(errors.InputError, match="no.csv: cannot be read"):
    files.read_rows(tmp_path / "no.csv")
  with pytest.raises(errors.InputError, match="no.txt: cannot be read"):
    files.read_lines(tmp_path / "no.txt")
  cut = tmp_path / "cut.csv.gz"
  cut.write_bytes(gzip.compress(b"a\n" + b"1\n" * 999)[:-12])
  with pytest.raises(errors.InputError, match="cut.csv.gz: cannot be read"):
    list(files.read_rows(cut)[1])
  plain = tmp_path / "plain.csv.gz"
  plain.write_bytes(b"a\n1\n")
  with pytest.raises(errors.InputError, match="plain.csv.gz: cannot be read"):
    files.read_rows(plain)
  latin = tmp_path / "latin.txt"
  latin.write_bytes(b"\xe4\n")
  with pytest.raises(errors.InputError, match="latin.txt: cannot be read"):
    files.read_lines(latin)


def test_lines_keep_their_numbers(tmp_path):
  path = tmp_path / "a.txt"
  path.write_bytes(b"a\r\n\r\n b \r\n")
  assert files.read_lines(path) == [(1, "a"), (3, "b")]


@pytest.mark.parametrize("text", ["", "x", "nan", "inf", "1,5"])
def test_numbers_must_be_finite(text):
  with pytest.raises(errors.InputError, match="here: expected a number"):
    files.to_float(text, "here")
  assert files.to_float("-1e3", "here") == -1000
