import pytest

from facerep_jax import errors
from facerep_jax.runs import config_files, configuration


@pytest.mark.parametrize(
  ("text", "system", "preset"),
  [
    ("latentface", "latentface", "paper"),
    ("latentface:demo", "latentface", "demo"),
    ("fabnet:small", "fabnet", "small"),
    # As documented, where there is no checkout.
    ("configs/latentface.py:demo", "latentface", "demo"),
    ("configs/fabnet.py", "fabnet", "paper"),
  ],
)
def test_configs_of_the_package_by_name(
  text, system, preset, tmp_path, monkeypatch
):
  monkeypatch.chdir(tmp_path)
  config = configuration.from_file(text)
  assert (config.system, config.preset) == (system, preset)


def test_a_file_is_itself_and_a_name_wins(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  own = tmp_path / "configs" / "fabnet.py"
  own.parent.mkdir()
  own.write_text("def get_config():\n  return 1\n")
  (tmp_path / "fabnet").write_text("")
  assert config_files.find("configs/fabnet.py").resolve() == own
  assert config_files.find("fabnet") == config_files.FOLDER / "fabnet.py"


@pytest.mark.parametrize(
  ("text", "said"),
  [
    ("latentfaec:demo", "Did you mean latentface?"),
    ("nowhere/fabnt.py", "Did you mean fabnet?"),
    ("__init__", "no such file"),
    ("", "(fabnet, latentface)"),
  ],
)
def test_what_is_neither_names_what_there_is(text, said):
  with pytest.raises(errors.InputError) as caught:
    configuration.from_file(text)
  assert said in str(caught.value)
  assert "(fabnet, latentface)" in str(caught.value)


def test_the_checkout_has_the_same_configs():
  from configs import fabnet, latentface
  from facerep_jax.configs import fabnet as own_fabnet
  from facerep_jax.configs import latentface as own_latentface

  assert fabnet.get_config is own_fabnet.get_config
  assert latentface.get_config is own_latentface.get_config
  assert config_files.names() == ["fabnet", "latentface"]
