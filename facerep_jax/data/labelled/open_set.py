"""Opens labelled sets by the text a user gives: KIND:PATH:OPTION=VALUE."""

import importlib
import re

from facerep_jax import errors
from facerep_jax.data.labelled import base

_PACKAGE = "facerep_jax.data.labelled"
_SYNTHETIC = {
  "synthetic": "tracks",
  "synthetic:benchmark": "tracks",
  "synthetic:pairs": "pairs",
}
_OPTION = re.compile(r"[a-z_]+=")

# Of each kind: its module, and the options of the module's `load`.
_KINDS = {
  "aflw2000": ("aflw2000", {"angles": str, "crop": str}),
  "csv": ("csv_table", {"name": str}),
  "fer2013": ("fer2013", {}),
  "landmarks": ("landmarks68", {"crop": str}),
  "lfw": ("lfw", {}),
  "pairs": ("track_pairs", {"split": str, "pairs": int, "frames": int}),
  "tfds": ("tfds_sets", {"crop": str}),
  "tracks": ("tracks", {"frames": int, "memory": bool}),
}
_COMMON = {"cut": str}
_BOOLEANS = {"yes": True, "no": False}


def open_data(text: str) -> dict[str, base.Labelled] | base.Pairs:
  """Opens a labelled set.

  Args:
    text: "synthetic" or "synthetic:pairs", or KIND:PATH with any number of
      :OPTION=VALUE behind; the kinds and their layouts are in docs/labelled.md.
      PATH may hold colons.

  Returns:
    Its parts by name: some of "train", "validation" and "test", or "all" where
    the set has no split; pairs of images for a set to verify people on.

  Raises:
    InputError: The text is not understood, or the set is missing or damaged.
  """
  kind, path, values = _understand(text)
  module = importlib.import_module(f"{_PACKAGE}.{_KINDS[kind][0]}")
  return module.load(path, **values)


def folder(text: str) -> str | None:
  """Returns the folder of tracks that a text names; None for other kinds."""
  kind, path, _ = _understand(text)
  return path if kind == "tracks" else None


def _understand(text):
  """Returns kind, path and options, all checked."""
  if text.partition(":")[0] == "synthetic":
    text = _synthetic_tracks(text)
  kind, _, rest = text.partition(":")
  if kind not in _KINDS or not rest:
    raise errors.InputError(
      f"labelled data {text!r}: expected synthetic or KIND:PATH, with KIND one "
      f"of {', '.join(_KINDS)}."
    )
  path, values = _split_options(text, rest, _COMMON | _KINDS[kind][1])
  if values.get("cut", base.CUTS[0]) not in base.CUTS:
    raise errors.InputError(
      f"labelled data {text!r}: cut is {values['cut']!r}, expected one of "
      f"{', '.join(base.CUTS)}."
    )
  return kind, path, values


def _split_options(text, rest, known):
  """Separates the path from the options behind it, each in its type."""
  parts, values = rest.split(":"), {}
  while len(parts) > 1 and _OPTION.match(parts[-1]):
    option, _, value = parts.pop().partition("=")
    if option not in known or option in values:
      reason = "is twice" if option in values else "is unknown"
      raise errors.InputError(
        f"labelled data {text!r}: option {option!r} {reason}; known: "
        f"{', '.join(known)}."
      )
    values[option] = _convert(text, option, value, known[option])
  path = ":".join(parts)
  if not path:
    raise errors.InputError(f"labelled data {text!r}: expected a path.")
  return path, values


def _convert(text, option, value, kind):
  try:
    return _BOOLEANS[value] if kind is bool else kind(value)
  except (KeyError, ValueError):
    expected = "yes or no" if kind is bool else "a whole number"
    raise errors.InputError(
      f"labelled data {text!r}: option {option!r} is {value!r}, expected "
      f"{expected}."
    ) from None


def _synthetic_tracks(text):
  """Returns the text for what the benchmark is, drawn where needed."""
  parts = text.split(":")
  plain = ":".join(x for x in parts if not _OPTION.match(x))
  if plain not in _SYNTHETIC:
    raise errors.InputError(
      f"labelled data {text!r}: expected {' or '.join(_SYNTHETIC)}."
    )
  # Late: the other kinds do not need what draws it.
  from facerep_jax.data import cache

  options = [x for x in parts if _OPTION.match(x)]
  return ":".join([_SYNTHETIC[plain], cache.benchmark(), *options])
