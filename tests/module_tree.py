"""Writes docs/modules.md: the modules of the package, a line each.

From the root: python -m tests.module_tree
"""

import ast
import pathlib

ROOT = pathlib.Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs/modules.md"
_HEAD = """# All modules

The first line of each module of `facerep_jax`. Made by
`python -m tests.module_tree`; a test compares it with the code.
"""


def text() -> str:
  """Returns what the page should say."""
  package = ROOT / "facerep_jax"
  folders = [package, *sorted(x.parent for x in package.rglob("__init__.py"))]
  parts = [_HEAD]
  for folder in dict.fromkeys(folders):
    name = folder.relative_to(ROOT).as_posix()
    parts.append(f"\n## {name}\n\n{_first_line(folder / '__init__.py')}\n\n")
    parts += [
      f"- `{path.name}`: {_first_line(path)}\n"
      for path in sorted(folder.glob("*.py"))
      if path.name != "__init__.py"
    ]
  return "".join(parts)


def _first_line(path):
  docstring = ast.get_docstring(ast.parse(path.read_text())) or ""
  return docstring.partition("\n")[0]


if __name__ == "__main__":
  PAGE.write_text(text())
