import pytest

from facerep_jax.data import layouts


@pytest.mark.parametrize(
  ("names", "people", "rule"),
  [
    # VoxCeleb2, as unpacked, in parts, and one person alone.
    (
      ["dev/mp4/id00012/21Uxsk56VDQ/1.mp4", "dev/mp4/id00013/x/00002.mp4"],
      ["id00012", "id00013"],
      "ID/VIDEO/FILE as in VoxCeleb",
    ),
    (
      ["dev/mp4/id00012/v/1.mp4", "test/mp4/id00017/v/1.mp4"],
      ["id00012", "id00017"],
      "ID/VIDEO/FILE as in VoxCeleb",
    ),
    (["id00012/v/1", "id00012/w/1"], ["id00012"] * 2, "ID/VIDEO/FILE"),
    # VoxCeleb1 has names for folders.
    (
      ["A.J._Buckley/1zcI/1.mp4", "A.J._Buckley/9mQ1/1.mp4", "Bo/x/7.mp4"],
      ["A.J._Buckley", "A.J._Buckley", "Bo"],
      "PERSON/VIDEO/FILE",
    ),
    (
      ["anna/1.mp4", "anna/2.mp4", "bo/1.mp4"],
      ["anna"] * 2 + ["bo"],
      "PERSON/",
    ),
    (["train/anna/1.mp4", "val/bo/1.mp4"], ["anna", "bo"], "PERSON/FILE"),
    (["x/y/anna/1.mp4", "x/y/bo/1.mp4"], ["anna", "bo"], "PERSON/FILE"),
    (["1.mp4", "2.mp4"], ["", ""], "one flat folder: each file"),
    (["train/1.mp4", "test/2.mp4"], ["", ""], "one flat folder: each file"),
    # Nothing that tells people.
    (["anna/1.mp4", "anna/2.mp4"], ["", ""], "no layout of people is known"),
    (["anna/1.mp4", "2.mp4"], ["", ""], "no layout of people is known"),
  ],
)
def test_known_layouts_are_recognised(names, people, rule):
  found, said = layouts.of_videos(names)
  assert found == people
  assert said.startswith(rule)


def test_rules_of_other_kinds():
  assert layouts.rule("videos", ["a"], "x(.)") == "named by --person=x(.)"
  assert layouts.rule("videos", ["a"], None) == layouts.of_videos(["a"])[1]
  assert "first folder" in layouts.rule("frames", ["a"], None)
