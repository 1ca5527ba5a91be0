import pytest

from facerep_jax import errors
from facerep_jax.data.labelled import pair_lists


def _parse(tmp_path, *lines):
  path = tmp_path / "pairs.txt"
  path.write_text("\n".join(lines) + "\n")
  return pair_lists.parse(path)


def _as_tuples(pairs):
  return [(x.left, x.right, x.is_same, x.fold) for x in pairs]


def test_lfw(tmp_path):
  pairs = _parse(
    tmp_path,
    "2\t1",
    "Ann_B\t1\t12",
    "Ann_B\t1\tCy\t3",
    "Cy\t2\t3",
    "Dee\t1\tCy\t10",
  )
  assert _as_tuples(pairs) == [
    ("Ann_B/Ann_B_0001.jpg", "Ann_B/Ann_B_0012.jpg", True, 0),
    ("Ann_B/Ann_B_0001.jpg", "Cy/Cy_0003.jpg", False, 0),
    ("Cy/Cy_0002.jpg", "Cy/Cy_0003.jpg", True, 1),
    ("Dee/Dee_0001.jpg", "Cy/Cy_0010.jpg", False, 1),
  ]
  assert [x.line for x in pairs] == [2, 3, 4, 5]


def test_lfw_with_one_fold_and_blanks_between(tmp_path):
  pairs = _parse(tmp_path, "1", "", "A 1 2", "A 1 B 1")
  assert [(x.fold, x.line) for x in pairs] == [(0, 3), (0, 4)]


@pytest.mark.parametrize(
  "lines, message",
  [
    (
      ["2 1", "A 1 2", "A 1 B 1"],
      "means 2 folds of 1 . 1 pairs, 4 lines; got 2",
    ),
    (["0"], "0 lines; got 0"),
    (["1", "A 1 2", "x"], "line 3: expected \"name n1 n2\" or .*, got 'x'"),
    (["1", "A 1 b", "A 1 B 1"], "line 2: expected"),
    (["1", "A 1 2", "A 1 B 1 2"], "line 3: expected"),
    (["1", "A 1 1", "A 1 B 1"], "line 2: the same image twice in 'A 1 1'"),
    (["1", "A 1 2", "A 1 A 2"], "line 3: the same person twice"),
    (["1", "A 1 B 1", "A 1 2"], "line 2: a pair of two people where fold 1"),
    (["A 1 2", "A 1 B 1"], "line 1: expected LFW's header"),
    ([""], "is empty, expected a list of pairs"),
  ],
)
def test_lfw_lists_that_do_not_fit(tmp_path, lines, message):
  with pytest.raises(errors.InputError, match=message):
    _parse(tmp_path, *lines)


def test_sllfw(tmp_path):
  same = ["A/A_0001.jpg", "A/A_0002.jpg"]
  other = ["A/A_0001.jpg", "B/B_0001.jpg"]
  pairs = _parse(tmp_path, *(same * 2 + other * 2) * 3)
  assert [x.is_same for x in pairs] == [True, True, False, False] * 3
  assert [x.fold for x in pairs] == [0] * 4 + [1] * 4 + [2] * 4
  assert (pairs[3].left, pairs[3].right, pairs[3].line) == (*other, 7)


@pytest.mark.parametrize(
  "lines, message",
  [
    (["A/1.jpg", "A/2.jpg", "A/1.jpg"], "3 lines, expected two lines a pair"),
    (["A/1.jpg", "A.jpg"], 'line 2: expected "NAME/IMAGE.jpg", got'),
    (["A/1.jpg", "B/1.jpg", "A/1.jpg", "A/2.jpg"], "first of two people"),
    (
      ["A/1.jpg", "A/2.jpg"] * 2 + ["A/1.jpg", "B/1.jpg"],
      "runs of 2, 1, the first of one person",
    ),
  ],
)
def test_sllfw_lists_that_do_not_fit(tmp_path, lines, message):
  with pytest.raises(errors.InputError, match=message):
    _parse(tmp_path, *lines)


def _flagged(*flags):
  return [
    line
    for i, flag in enumerate(flags)
    for line in (f"A_{i}.jpg {flag}", f"B {i}.jpg {flag}")
  ]


def test_flags_that_are_folds_deal_the_other_pairs(tmp_path):
  pairs = _parse(tmp_path, *_flagged(1, 1, 2, 2, 0, 0, 0, 0))
  assert [x.is_same for x in pairs] == [True] * 4 + [False] * 4
  assert [x.fold for x in pairs] == [0, 0, 1, 1] * 2
  assert (pairs[1].left, pairs[1].right) == ("A_1.jpg", "B 1.jpg")


def test_flags_0_and_1_deal_all_pairs_to_ten_folds(tmp_path):
  pairs = _parse(tmp_path, *_flagged(*[1, 1, 0, 0] * 10))
  assert [x.fold for x in pairs] == [i // 4 for i in range(40)]


@pytest.mark.parametrize(
  "lines, message",
  [
    (["a.jpg 1", "b.jpg 2"], "lines 1 and 2: expected the same flag"),
    (["a.jpg 1", "b.jpg"], 'line 2: expected "IMAGE.jpg FLAG"'),
    (["a.jpg 1", "b.jpg x"], 'line 2: expected "IMAGE.jpg FLAG"'),
    (["a.jpg 1"], "1 lines, expected two lines a pair"),
    (_flagged(1, 0), "fold 2 of 10 has 0 pairs of one person and 0 of two"),
    (_flagged(1, 3, 0, 0, 0), "fold 2 of 3 has 0 pairs of one person and 1"),
  ],
)
def test_flagged_lists_that_do_not_fit(tmp_path, lines, message):
  with pytest.raises(errors.InputError, match=message):
    _parse(tmp_path, *lines)


def test_repeated_pairs_are_kept_and_counted(tmp_path, caplog):
  lines = ["1 2", "A 1 2", "A 1 2", "A 1 B 1", "A 2 B 1"]
  assert len(_parse(tmp_path, *lines)) == 4
  assert "1 pairs occur before in the list" in caplog.text
