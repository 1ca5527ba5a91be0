import json

import pytest

from configs import fabnet, latentface
from facerep_jax import errors, main
from facerep_jax.runs import configuration, renamed_settings


def _names(config):
  return set(configuration.flatten(config.to_dict()))


def test_every_successor_is_a_setting_and_no_old_name_is():
  names = _names(fabnet.get_config("demo")) | _names(
    latentface.get_config("demo")
  )
  last = {name.split(".")[-1] for name in names}
  assert set(renamed_settings.SUCCESSORS.values()) <= last
  assert not renamed_settings.SUCCESSORS.keys() & last


def test_runs_of_before_are_read_with_the_present_names(tmp_path):
  config = fabnet.get_config("demo")
  configuration.write(config, tmp_path)
  path = tmp_path / "config.json"
  text = path.read_text()
  for old, new in renamed_settings.SUCCESSORS.items():
    text = text.replace(f'"{new}"', f'"{old}"')
  assert '"turns"' in text and '"wave_steps"' in text
  path.write_text(text)
  assert configuration.load(tmp_path).to_json() == config.to_json()
  configuration.check_same(config, tmp_path)
  config.synthetic.pose_scale = 0.5
  with pytest.raises(
    errors.InputError, match="pose_scale .there 1.0, here 0.5"
  ):
    configuration.check_same(config, tmp_path)


def test_a_setting_that_came_later_is_as_it_was_without_it(tmp_path):
  config = latentface.get_config("demo")
  configuration.write(config, tmp_path)
  path = tmp_path / "config.json"
  old = json.loads(path.read_text())
  assert old["diffusion"]["model"].pop("wccn") is True
  for name in ("warmup_steps", "reference_batch"):
    for stage in ("autoencoder", "diffusion"):
      assert old[stage]["optimizer"].pop(name) == 0
  path.write_text(json.dumps(old))
  with pytest.raises(errors.InputError, match="wccn .there False, here True"):
    configuration.check_same(config, tmp_path)
  config.diffusion.model.wccn = False
  configuration.check_same(config, tmp_path)


def test_values_are_translated_too():
  old = {"optimizer": {"schedule": "waves", "wave_steps": 7}, "turns": 1}
  assert renamed_settings.translated(old) == {
    "optimizer": {"schedule": "cyclic_cosine", "cycle_steps": 7},
    "pose_scale": 1,
  }


def test_the_command_line_names_the_successor():
  with pytest.raises(errors.InputError) as caught:
    main._parse(["--config=fabnet:demo", "--config.synthetic.turns=0.5"])
  assert str(caught.value) == (
    "--config.synthetic.turns: is called --config.synthetic.pose_scale now."
  )


def test_a_setting_that_is_gone_must_have_done_nothing():
  tree = {"model": {"others_share": 1.0, "width": 4}}
  assert renamed_settings.translated(tree) == {"model": {"width": 4}}
  tree["model"]["others_share"] = 0.25
  with pytest.raises(errors.InputError, match="others_share=0.25: this setti"):
    renamed_settings.translated(tree)
