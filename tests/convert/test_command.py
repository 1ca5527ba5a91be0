import hashlib
import os

import jax
import numpy as np
import pytest
import safetensors.numpy

import facerep_jax
from facerep_jax import cli
from facerep_jax.convert import __main__ as command
from facerep_jax.convert import fabnet
from facerep_jax.training import setup
from tests import made_up_models, published, tiny, torch_files


@pytest.fixture(scope="module", params=published.KINDS)
def converted(request, tmp_path_factory):
  """A published checkpoint of the old format, and the file made of it."""
  folder = tmp_path_factory.mktemp("published")
  return request.param, *published.convert(request.param, folder)


ONE = jax.devices()[:1]


def run(monkeypatch, **options):
  arguments = [f"--{name}={value}" for name, value in options.items()]
  monkeypatch.setattr("sys.argv", ["published.convert", *arguments])
  return cli.run(command.main)


def refused(monkeypatch, capsys, **options):
  """Runs a command that must fail; returns the one line that it says."""
  assert run(monkeypatch, **options) == 1
  (line,) = capsys.readouterr().err.splitlines()
  assert line.startswith("error: ")
  return line


def test_the_card_says_where_the_weights_are_from(converted):
  kind, path, output = converted
  card = output.with_suffix(".md").read_text()
  _, front, text = card.split("---\n", 2)
  assert "library_name: facerep_jax\nlicense:\ntags:\n- " in front
  assert f"- {kind}\n" in front
  digest = hashlib.sha256(path.read_bytes()).hexdigest()
  assert f"`{path.name}`, " in text and digest in text
  assert "(published: " in text and "num_" in text
  assert "## Not checked\n\n- Who made the source" in text
  beside = {"fabnet": "optimizer", "unsup3d": "netC"}.get(kind, "optimizerD")
  assert f"- {beside}\n" in text


def test_what_is_printed(tmp_path, monkeypatch, capsys):
  path = torch_files.write_zip(
    tmp_path / "a.pth", published.checkpoint_of("fabnet")
  )
  output = tmp_path / "b.safetensors"
  assert run(monkeypatch, input=path, kind="fabnet", output=output) == 0
  lines = capsys.readouterr().out.splitlines()
  size = output.stat().st_size / 1e6
  assert lines[0].startswith(f"{output}: 0.")
  assert lines[0].endswith(f" million numbers, {size:.2f} MB")
  assert "size_px=32 (published: 256)" in lines[1]
  assert "upsample_align_corners=False" in lines[2]
  assert lines[3].endswith("not in this file: epoch, optimizer, opts")
  assert lines[4].startswith(f"{tmp_path / 'b.md'}: ")
  assert len(list(tmp_path.iterdir())) == 3


@pytest.mark.parametrize("write", ["write_zip", "write_legacy"])
@pytest.mark.parametrize("kind", [*published.KINDS, "vgg16"])
def test_code_in_a_file_is_refused(write, kind, tmp_path, monkeypatch, capsys):
  mark = tmp_path / "mark"
  name = torch_files.Global(os.system.__module__, "system")
  tree = {"a": torch_files.Call(name, f"touch {mark}")}
  path = getattr(torch_files, write)(tmp_path / "a.pth", tree)
  line = refused(
    monkeypatch,
    capsys,
    input=path,
    kind=kind,
    output=tmp_path / "b.safetensors",
  )
  assert "system', which was not run" in line
  assert list(tmp_path.iterdir()) == [path]


def _breaks(kind):
  """A checkpoint with three faults, and what must be said of them."""
  checkpoint = published.checkpoint_of(kind)
  if kind == "fabnet":
    state = checkpoint["state_dict_model"]
    names = "decoder.3.running_mean", "mask.2.bias", "nose.weight"
  else:
    state = checkpoint["netD"]
    prefix = "network2." if kind == "latentface" else "network."
    missing = prefix + ("5.bias" if kind == "latentface" else "18.bias")
    wrong = "network1.1.bias" if kind == "latentface" else "network.1.bias"
    names = missing, wrong, prefix + "99.bias"
  del state[names[0]]
  state[names[1]] = np.zeros(3, np.float32)
  state[names[2]] = np.zeros(3, np.float32)
  parts = [
    f"{names[0]} is missing",
    f"{names[1]} has shape [3], expected [",
    f"{names[2]} is unexpected",
  ]
  if kind == "latentface":
    del checkpoint["netED"]["conv_in.bias"]
    parts.append("netED: conv_in.bias is missing")
  if kind != "fabnet":
    del checkpoint["netV"]
    parts.append("netV: expected the convolutions")
  return checkpoint, parts


@pytest.mark.parametrize("kind", published.KINDS)
def test_all_that_is_wrong_is_one_line(kind, tmp_path, monkeypatch, capsys):
  checkpoint, parts = _breaks(kind)
  path = torch_files.write_zip(tmp_path / "a.pth", checkpoint)
  output = tmp_path / "b.safetensors"
  line = refused(monkeypatch, capsys, input=path, kind=kind, output=output)
  for part in (str(path), *parts):
    assert part in line, part
  assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
  ("options", "said"),
  [
    ({"kind": ""}, "argument --kind: invalid choice"),
    ({"kind": None}, "--kind is missing: one of fabnet, unsup3d, latentface"),
    ({"output": "{tmp}/b.npz"}, "ends in .safetensors"),
    ({"output": "{tmp}/absent/b.safetensors"}, "folder does not exist"),
    ({"input": "{tmp}/absent.pth"}, "there is no such file"),
    ({"first": "{tmp}/a.pth"}, "is for --kind=latentface alone"),
    ({"step": 3}, "--step: means nothing with --to=facerep_jax"),
    ({"kind": "vgg16"}, "expected features.0.weight"),
    ({"to": "torch"}, "expected a safetensors file"),
    ({"to": "torch", "first": "x"}, "--first: means nothing with --to=torch"),
  ],
)
def test_what_cannot_be_done_is_one_line(
  options, said, tmp_path, monkeypatch, capsys
):
  path = torch_files.write_zip(tmp_path / "a.pth", published.fabnet_state())
  given = {"input": path, "kind": "fabnet", "output": "{tmp}/b.safetensors"}
  given = {
    name: str(value).format(tmp=tmp_path)
    for name, value in (given | options).items()
    if value is not None
  }
  assert said in refused(monkeypatch, capsys, **given)
  assert list(tmp_path.iterdir()) == [path]


def test_what_lies_there_already(tmp_path, monkeypatch, capsys):
  path = torch_files.write_zip(tmp_path / "a.pth", published.fabnet_state())
  output, card = tmp_path / "b.safetensors", tmp_path / "b.md"
  card.write_text("Notes of my own.")
  options = {"input": path, "kind": "fabnet", "output": output}
  assert "another text lies there" in refused(monkeypatch, capsys, **options)
  assert card.read_text() == "Notes of my own." and not output.exists()
  card.unlink()
  for _ in range(2):  # A card of this command may be replaced.
    assert run(monkeypatch, **options) == 0
  capsys.readouterr()
  options = {"input": output, "kind": "fabnet", "output": output}
  assert "is what is to be read" in refused(monkeypatch, capsys, **options)
  options["output"] = tmp_path / "c.safetensors"
  assert "of this library already" in refused(monkeypatch, capsys, **options)


def test_nothing_is_written_of_broken_numbers(tmp_path, monkeypatch, capsys):
  state = published.fabnet_state()
  state["encoder.0.bias"][0] = np.nan
  path = torch_files.write_zip(tmp_path / "a.pth", state)
  line = refused(
    monkeypatch,
    capsys,
    input=path,
    kind="fabnet",
    output=tmp_path / "b.safetensors",
  )
  assert "params/encoder/conv0/bias" in line and "finite" in line
  assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
  ("model", "change", "kind", "said"),
  [
    ("autoencoder", {"model__num_groups": 4}, "", "num_groups=4 (there 16)"),
    (
      "autoencoder",
      {"model__decoder": "resize"},
      "",
      "decoder='resize' (there",
    ),
    ("autoencoder", {}, "fabnet", "expected --kind=unsup3d or latentface"),
    ("diffusion", {}, "", "diffusion.model.num_groups=8 (there 32)"),
    ("diffusion", {}, "unsup3d", "expected --kind=latentface"),
    ("fabnet", {}, "vgg16", "expected --kind=fabnet"),
  ],
)
def test_models_unlike_the_published_ones_stay(
  model, change, kind, said, tmp_path, monkeypatch, capsys
):
  path = tmp_path / "a.safetensors"
  made_up_models.representation(model, **change).save(path)
  output = tmp_path / "b.safetensors"
  options = {"to": "torch", "input": path, "output": output}
  options |= {"kind": kind} if kind else {}
  assert said in refused(monkeypatch, capsys, **options)
  assert list(tmp_path.iterdir()) == [path]


def test_a_run_gets_the_published_names(tmp_path, monkeypatch, capsys):
  config = tiny.config(tiny.write_tracks(tmp_path / "tracks"), ema_decay=0.5)
  prepared, state = setup.prepare(
    config, tmp_path / "run", config.data.path, ONE
  )
  for step in (1, 2):
    ema = jax.tree.map(lambda x, step=step: x * (1 + step), state.params)
    prepared.checkpoints.save(step, state.replace(ema=ema), {}, step)
    prepared.checkpoints.wait()
  prepared.checkpoints.close()
  prepared.writer.close()
  output = tmp_path / "a.safetensors"
  options = {"to": "torch", "input": tmp_path / "run", "output": output}
  assert run(monkeypatch, **options, step=2) == 0
  got = fabnet.from_torch(safetensors.numpy.load_file(output))
  want = facerep_jax.load(tmp_path / "run", step=2, devices=ONE).variables
  jax.tree.map(np.testing.assert_array_equal, got["params"], dict(want.params))
  assert got["batch_stats"].keys() == want.model_state.keys()
  card = output.with_suffix(".md").read_text()
  assert "library_name: pytorch" in card and "FAb-Net" in card
  assert "| source | the run `run` |" in card and "step 2" in card
  assert f"{output.with_suffix('.md')}: " in capsys.readouterr().out
