import configparser
import importlib
import pathlib
import shutil
import subprocess
import sys

import pytest

from facerep_jax import commands

ROOT = pathlib.Path(__file__).resolve().parent.parent


def run(monkeypatch, *arguments):
  monkeypatch.setattr("sys.argv", ["facerep", *arguments])
  # It would end the tests, too.
  monkeypatch.setattr(commands.distributed, "leave", sys.exit)
  with pytest.raises(SystemExit) as ended:
    commands.main()
  return ended.value.code


@pytest.mark.parametrize("name", ["make-tracks", "make_tracks", "embed"])
def test_a_command_gets_its_arguments(name, monkeypatch):
  module = importlib.import_module(f"facerep_jax.{name.replace('-', '_')}")
  got = []
  monkeypatch.setattr(module, "main", lambda arguments: got.append(arguments))
  assert run(monkeypatch, name, "--a=1", "b") == 0
  assert got == [["--a=1", "b"]]


def test_each_command_is_a_module_with_main():
  for module, _ in commands.COMMANDS.values():
    path = module.replace(".", "/")
    source = (ROOT / "facerep_jax" / f"{path}.py").read_text()
    assert "\ndef main(arguments: list[str])" in source
    assert '\nif __name__ == "__main__":' in source


@pytest.mark.parametrize(
  ("arguments", "said"),
  [
    ([], "no command: expected one of train, make-tracks, embed"),
    (["embde"], "Did you mean embed?"),
    (["train"], "--config is missing"),
    (["embed"], "the following arguments are required"),
    (["convert"], "the following arguments are required: --input, --output"),
    (["train", "--config=latentface:deom"], "no preset 'deom'"),
  ],
)
def test_what_cannot_be_run_is_one_line(arguments, said, monkeypatch, capsys):
  assert run(monkeypatch, *arguments) == 1
  (line,) = capsys.readouterr().err.splitlines()
  assert line.startswith("error: ") and said in line


def test_help_lists_the_commands(monkeypatch, capsys):
  assert run(monkeypatch, "--help") == 0
  lines = capsys.readouterr().out.splitlines()
  found = [x.split()[0] for x in lines if x.startswith("  ")]
  assert found == list(commands.COMMANDS)


def test_the_entry_point_is_there():
  setup = configparser.ConfigParser()
  setup.read(ROOT / "setup.cfg")
  scripts = setup["options.entry_points"]["console_scripts"].split("\n")
  assert "facerep = facerep_jax.commands:main" in scripts
  assert callable(commands.main)


@pytest.mark.slow
def test_a_wheel_is_whole_without_its_checkout(tmp_path):
  source = tmp_path / "source"
  source.mkdir()
  shutil.copytree(
    ROOT / "facerep_jax",
    source / "facerep_jax",
    ignore=shutil.ignore_patterns("__pycache__"),
  )
  for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
    shutil.copy(ROOT / name, source)
  place = tmp_path / "installed"
  subprocess.run(
    [
      *(sys.executable, "-m", "pip", "install", "--no-deps", "--quiet"),
      *(f"--target={place}", str(source)),
    ],
    check=True,
  )
  work = tmp_path / "work"
  work.mkdir()
  changes = ["steps=2", "batch_size=2", "model.width=4", "model.embed_dim=8"]
  changes += ["data.num_threads=1", "synthetic.num_people=8"]
  changes += ["synthetic.num_frames=2", "every.eval=2"]
  for config in ("fabnet:demo", "configs/fabnet.py:demo"):
    done = subprocess.run(
      [
        *(str(place / "bin" / "facerep"), "train", f"--config={config}"),
        *(f"--config.{x}" for x in changes),
      ],
      cwd=work,
      env={
        "PATH": "/usr/bin:/bin",
        "PYTHONPATH": str(place),
        "FACEREP_CACHE": str(tmp_path / "cache"),
        "JAX_PLATFORMS": "cpu",
      },
      capture_output=True,
      text=True,
      check=False,
    )
    assert done.returncode == 0, done.stderr
  assert (work / "runs" / "fabnet-demo" / "examples.npz").is_file()
