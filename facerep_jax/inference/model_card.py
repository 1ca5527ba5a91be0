"""The card beside a converted file: where its weights are from, as Markdown.

Front matter as model hubs read it; what is not known stays blank.
"""

import hashlib
import os
import pathlib
from typing import NamedTuple

from facerep_jax import errors

_MARK = "# Written by facerep_jax.convert."
_CHUNK_BYTES = 2**20


class Source(NamedTuple):
  """A file that weights came from.

  Attributes:
    name: Without its folder.
    num_bytes: Its size.
    sha256: Of its content, hexadecimal; empty of a folder.
  """

  name: str
  num_bytes: int
  sha256: str


class Card(NamedTuple):
  """What a card says.

  Attributes:
    title: Name of the converted file, without its ending.
    library: That loads it: "facerep_jax", "pytorch" or "safetensors".
    tags: For search on a hub.
    summary: What the file is, a sentence.
    sources: Files that its weights came from.
    facts: Rows of the table: what, and how much.
    sections: Heading to lines of a list; without lines it is left out.
  """

  title: str
  library: str
  tags: tuple[str, ...]
  summary: str
  sources: tuple[Source, ...]
  facts: dict[str, str]
  sections: dict[str, tuple[str, ...]]


def source_of(path: str | os.PathLike) -> Source:
  """Describes a file, or the folder of a run.

  Args:
    path: Of it.

  Returns:
    Its name, size and hash.
  """
  path = pathlib.Path(path)
  if path.is_dir():
    return Source(_plain(path.resolve().name), 0, "")
  digest = hashlib.sha256()
  with open(path, "rb") as file:
    while chunk := file.read(_CHUNK_BYTES):
      digest.update(chunk)
  return Source(_plain(path.name), path.stat().st_size, digest.hexdigest())


def place_for(path: str | os.PathLike) -> pathlib.Path:
  """Finds the place of the card of a file.

  Args:
    path: Of the file that is to be written.

  Returns:
    Path of the card, with the ending .md.

  Raises:
    InputError: Another text than a card of this module lies there.
  """
  place = pathlib.Path(path).with_suffix(".md")
  if place.is_dir():
    raise errors.InputError(f"{place}: expected a file, got a folder.")
  if place.exists() and _MARK not in place.read_text(
    encoding="utf-8", errors="replace"
  ):
    raise errors.InputError(
      f"{place}: the card goes there, but another text lies there. Move it, or "
      "give another --output."
    )
  return place


def text(card: Card) -> str:
  """Writes a card.

  Args:
    card: What it says.

  Returns:
    Markdown with YAML front matter; the licence is blank.
  """
  lines = ["---", _MARK, f"library_name: {card.library}", "license:", "tags:"]
  lines += [f"- {tag}" for tag in card.tags]
  lines += ["---", "", f"# {_plain(card.title)}", "", card.summary, "", "| | |"]
  lines += ["|---|---|"]
  for source in card.sources:
    lines.append(f"| source | {_said(source)} |")
  lines += [f"| {name} | {value} |" for name, value in card.facts.items()]
  for heading, items in card.sections.items():
    if items:
      lines += ["", f"## {heading}", "", *(f"- {item}" for item in items)]
  return "\n".join(lines) + "\n"


def _plain(name):
  """Takes out of a name what would end its place in a table."""
  return " ".join(name.replace("`", "'").replace("|", "/").split())


def _said(source):
  if not source.sha256:
    return f"the run `{source.name}`"
  size = f"{source.num_bytes / 1e6:.2f} MB"
  return f"`{source.name}`, {size}, SHA-256 `{source.sha256}`"
