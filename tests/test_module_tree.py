from tests import module_tree


def test_the_page_of_modules_is_that_of_the_code():
  assert module_tree.PAGE.read_text() == module_tree.text()


def test_few_modules_lie_at_the_root():
  root = module_tree.ROOT / "facerep_jax"
  names = {path.name for path in root.glob("*.py")}
  assert len(names) <= 18
