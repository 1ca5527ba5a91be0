"""Whose head each person has: built-in, packaged ICT, or one of them each."""

import dataclasses
import os
import pathlib

import numpy as np
import pytest

from facerep_jax import errors
from facerep_jax.data import build, cache, extract, sources
from facerep_jax.synthetic import generator, head, heads, ict_packed
from facerep_jax.tracks import schema, track_source

SETTINGS = generator.Settings(
  num_people=12, tracks_per_person=2, num_frames=2, size_px=32
)


def with_heads(kind, **changes):
  return dataclasses.replace(SETTINGS, heads=kind, **changes)


def test_words_name_heads():
  assert heads.model("", 0, 0) is head.built_in()
  assert heads.model("ict", 0, 0) is ict_packed.model()
  assert {heads.is_built_in("ict", 0, i) for i in range(9)} == {False}
  assert heads.fingerprint("") == ""
  names = [heads.fingerprint(word) for word in heads.WORDS]
  assert len(set(names)) == 2
  with pytest.raises(errors.InputError, match="/none: cannot be read") as e:
    heads.fingerprint("/none")
  assert "called ict, and mixed" in str(e.value)


def test_half_of_mixed_people_are_built_in_and_stay_so():
  for seed in (0, 1):
    drawn = [heads.is_built_in("mixed", seed, i) for i in range(2000)]
    assert abs(np.mean(drawn) - 0.5) < 0.04
    assert drawn == [heads.is_built_in("mixed", seed, i) for i in range(2000)]
  others = [heads.is_built_in("mixed", 0, i) for i in range(2000)]
  assert 0.4 < np.mean(np.equal(drawn, others)) < 0.6


def test_mixed_people_are_those_of_both_sets():
  kinds = set()
  for person in range(6):
    is_built_in = heads.is_built_in("mixed", SETTINGS.seed, person)
    kinds.add(is_built_in)
    own = with_heads("" if is_built_in else "ict")
    for track in range(2):
      want = schema.serialize(generator.make_track(own, person, track))
      got = generator.make_track(with_heads("mixed"), person, track)
      assert schema.serialize(got) == want
      assert got.person.startswith("synthetic" if is_built_in else "ict")
  assert kinds == {True, False}


def test_labels_are_the_same_for_all_heads():
  want = set(generator.make_track(SETTINGS, 0, 0).labels)
  for kind in heads.WORDS:
    for person in range(4):
      images = generator.draw_track(with_heads(kind), person, 1)
      assert set(images.labels) == want
      points = images.labels["landmarks_px"]
      assert points.min() > 0.0 and points.max() < 32


def test_sources_know_the_words(tmp_path, monkeypatch):
  found = {}
  for name in ("synthetic:ict", "synthetic:mixed", "synthetic"):
    [unit] = sources.collect([sources.Source(name)], 2, 1)
    found[name] = unit
  assert [unit.entries[0].path for unit in found.values()] == [
    "ict",
    "mixed",
    "",
  ]
  assert len({unit.entries[0].mark for unit in found.values()}) == 3
  # A word is no path, and a path no word.
  monkeypatch.chdir(tmp_path)
  pathlib.Path("ict").write_bytes(b"any")
  [unit] = sources.collect([sources.Source("synthetic:ict")], 2, 1)
  assert unit == found["synthetic:ict"]
  [unit] = sources.collect([sources.Source("synthetic:ict=ict")], 2, 1)
  assert unit.entries[0].path == os.path.join(".", "ict")
  for kind in ("", "ict", "mixed", "/some/path"):
    assert sources._heads(sources.synthetic_source(kind)) == kind


def test_mixed_stands_alone():
  both = [sources.Source("synthetic"), sources.Source("synthetic:ict")]
  assert len(sources.collect(both, 2, 1)) == 2
  for other in both:
    with pytest.raises(errors.InputError, match="only synthetic source"):
      sources.collect([sources.Source("synthetic:mixed"), other], 2, 1)


def test_cache_names_follow_the_heads(tmp_path, monkeypatch):
  settings = extract.Settings(num_people=3)
  names = [cache._name(settings, x) for x in ("", "ict", "mixed")]
  names.append(cache._name(dataclasses.replace(settings, restyle=True), ""))
  monkeypatch.setattr(ict_packed, "fingerprint", lambda: "another file")
  names += [cache._name(settings, x) for x in ("ict", "mixed")]
  assert len(set(names)) == 6
  assert cache._name(settings, "") == names[0]


def test_cache_makes_mixed_tracks(tmp_path, monkeypatch):
  monkeypatch.setenv("FACEREP_CACHE", str(tmp_path))
  monkeypatch.setattr(cache.os, "cpu_count", lambda: 1)
  folder = cache.synthetic(
    seed=0,
    num_people=8,
    tracks_per_person=2,
    num_frames=2,
    size_px=16,
    heads="mixed",
    restyle=True,
  )
  people = set()
  for split in ("train", "validation", "test"):
    source = track_source.TrackSource(folder, split)
    people |= {source.read(i, ()).person for i in range(len(source))}
  want = {heads.person_name("mixed", 0, i) for i in range(8)}
  assert people == want and len({x[:3] for x in want}) == 2
  assert (pathlib.Path(folder) / build.MANIFEST).exists()
