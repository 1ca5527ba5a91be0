import jax
import numpy as np
import pytest

import facerep_jax
from facerep_jax import cli, export
from facerep_jax.training import setup
from tests import tiny


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
  """A run with checkpoints of steps 1 and 2, and a moving average."""
  folder = tmp_path_factory.mktemp("run")
  config = tiny.config(tiny.write_tracks(folder / "tracks"), ema_decay=0.5)
  prepared, state = setup.prepare(
    config, folder / "run", config.data.path, jax.devices()[:1]
  )
  for step in (1, 2):
    ema = jax.tree.map(lambda x, step=step: x * (1 + step), state.params)
    prepared.checkpoints.save(step, state.replace(ema=ema), {}, step)
    prepared.checkpoints.wait()
  prepared.checkpoints.close()
  prepared.writer.close()
  return folder / "run"


def command(monkeypatch, **options):
  arguments = [f"--{name}={value}" for name, value in options.items()]
  monkeypatch.setattr("sys.argv", ["export", *arguments])
  return cli.run(export.main)


@pytest.mark.parametrize("options", [{}, {"step": 2, "summary": "Mine."}])
def test_the_moving_average_of_a_checkpoint_is_written(
  workdir, tmp_path, monkeypatch, capsys, options
):
  output = tmp_path / "name.safetensors"
  rc = command(monkeypatch, workdir=workdir, output=output, **options)
  assert rc == 0
  # Step 1 is of least validation loss.
  step = options.get("step", 1)
  run = facerep_jax.load(workdir, step=step)
  file = facerep_jax.load(output)
  assert file.step == step
  jax.tree.map(
    lambda a, b: np.testing.assert_array_equal(
      a, np.asarray(b).astype(np.float16).astype(np.float32)
    ),
    file.variables.params["encoder"],
    run.variables.params["encoder"],
  )
  said = capsys.readouterr().out.splitlines()
  size = output.stat().st_size / 1e6
  assert said[0] == f"{output}: step {step}, {size:.2f} MB"
  found = export.differences(run, file)
  # Six layers whose weights are off by up to 2**-11 of themselves.
  most, scale = found["embedding"]
  assert 0 < most < 6 * 2**-11 * scale
  assert said[1:] == [
    f"  {name}: differs by at most {most:.2g}, of values up to {scale:.2g}"
    for name, (most, scale) in found.items()
  ]


@pytest.mark.parametrize(
  ("change", "text"),
  [
    ({"workdir": "{tmp}"}, "has no config.json"),
    ({"output": "{tmp}/name.npz"}, "expected NAME.safetensors"),
    ({"model": "fabnet-synthetic"}, "one of --workdir=RUN and --model=NAME"),
    ({"output": "{tmp}/absent/name.safetensors"}, "folder does not exist"),
    ({"step": 9}, "cannot be restored"),
  ],
)
def test_what_cannot_be_done_ends_in_one_line(
  workdir, tmp_path, monkeypatch, capsys, change, text
):
  options = {"workdir": workdir, "output": tmp_path / "name.safetensors"}
  options |= {k: str(v).format(tmp=tmp_path) for k, v in change.items()}
  assert command(monkeypatch, **options) == 1
  last = capsys.readouterr().err.splitlines()[-1]
  assert last.startswith("error: ") and text in last
  assert list(tmp_path.iterdir()) == []


def test_a_program_is_written_for_its_suffix(
  workdir, tmp_path, monkeypatch, capsys
):
  pytest.importorskip("flatbuffers")
  output = tmp_path / "name.jaxexport"
  assert command(monkeypatch, workdir=workdir, output=output) == 0
  said = capsys.readouterr().out.splitlines()
  size = output.stat().st_size / 1e6
  assert said[0] == f"{output}: step 1, {size:.2f} MB, for cpu, cuda, tpu"
  assert said[1] == "  embedding: [N, 8] float32"
  assert (tmp_path / "name.json").is_file()
