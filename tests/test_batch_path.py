import re

import pytest

from tests import batch_path


@pytest.mark.slow
def test_the_documents_list_the_files_that_a_batch_passes():
  text = (batch_path.ROOT.parent / "docs" / "architecture.md").read_text()
  rows = re.findall(
    r"^\| (?:for each batch|once, while .*?) \| (.*) \|$", text, re.M
  )
  named = [name for row in rows for name in re.findall(r"`(.*?)`", row)]
  passed = batch_path.files()
  assert sorted(f"{name}.py" for name in named) == passed
  assert f"**{len(passed)} files**" in text
