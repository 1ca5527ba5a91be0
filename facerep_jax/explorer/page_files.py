"""The files of the page, as they come with the package."""

import pathlib

_FOLDER = pathlib.Path(__file__).parent / "page"
_KINDS = {
  ".html": "text/html; charset=utf-8",
  ".css": "text/css; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".svg": "image/svg+xml",
}


def read_all() -> dict[str, tuple[str, bytes]]:
  """Reads the files.

  Returns:
    Media type and content by the path of the address; "/" is the page.
  """
  found = {
    f"/{path.name}": (_KINDS[path.suffix], path.read_bytes())
    for path in sorted(_FOLDER.iterdir())
    if path.suffix in _KINDS
  }
  return found | {"/": found["/index.html"]}
