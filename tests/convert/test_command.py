import hashlib
import os

import jax
import numpy as np
import pytest
import safetensors.numpy

import facerep_jax
from facerep_jax import cli, errors
from facerep_jax.convert import __main__ as command
from facerep_jax.convert import fabnet, rdm, torch_file, unsup3d, vgg16
from facerep_jax.inference import (
  published_weights,
  torch_state,
  weight_file,
)
from facerep_jax.models import unsup3d as nets
from facerep_jax.models import vgg
from facerep_jax.systems import base, perceptual
from facerep_jax.training import init_from, setup
from tests import made_up_faces, made_up_models, tiny, torch_files

ONE = jax.devices()[:1]
OPTIMIZER = {
  "state": {0: {"step": 7, "exp_avg": np.ones((2, 3), np.float32)}},
  "param_groups": [{"lr": 1e-4, "betas": [0.9, 0.999], "params": [0]}],
}
TRACE = torch_files.Object(
  torch_files.Global("unsup3d.meters", "MetricsTrace"),
  {"data": {"train": [{"loss": 0.5}]}},
)
FIRST = {
  "depth": nets.MapNet(64, 16, 32),
  "albedo": nets.MapNet(64, 16, 32, 3, True),
  "light": nets.VectorNet(64, 2, 4, 8),
  "view": nets.VectorNet(64, 2, 6, 8),
  "confidence": nets.ConfidenceNet(64, 16, 3),
}


def draw(shapes, seed=0):
  """Random numbers of the size of trained weights; not of float16."""
  rng = np.random.default_rng(seed)
  return jax.tree.map(
    lambda x: rng.normal(0, 0.1, x.shape).astype(np.float32), shapes
  )


def fabnet_state(size=32, width=4, embed_dim=8):
  # Random weights, as the published names; variances are not negative.
  config = made_up_models.config(
    "fabnet",
    model__size_px=size,
    model__width=width,
    model__embed_dim=embed_dim,
  )
  found = made_up_models.variables(config)
  params = {"params": found.params, "batch_stats": found.model_state}
  state = fabnet.to_torch(params)
  state["encoder.3.num_batches_tracked"] = np.array(7)
  return state


def first_state(is_joined=True, models=None):
  models = models or FIRST
  params = {}
  for seed, (name, model) in enumerate(models.items()):
    image = jax.ShapeDtypeStruct((1, model.size_px, model.size_px, 3), "f4")
    shapes = jax.eval_shape(model.init, jax.random.key(0), image)["params"]
    params[name] = draw(shapes, seed)
  return unsup3d.to_torch(params, is_joined)


def second_state(code_dim=32, width=64):
  states = {}
  for seed, net in enumerate(rdm.NETS, 10):
    shapes = {
      path: jax.ShapeDtypeStruct(shape, "f4")
      for path, shape in rdm._shapes(code_dim, width).items()
    }
    flat = draw(shapes, seed)
    tree = {}
    for path, value in flat.items():
      node = tree
      for part in path[:-1]:
        node = node.setdefault(part, {})
      node[path[-1]] = value
    states[net] = rdm.to_torch(tree)
  return states


def checkpoint_of(kind):
  """What the published code saves, with all that stands beside."""
  if kind == "fabnet":
    return {
      "state_dict_model": fabnet_state(),
      "optimizer": OPTIMIZER,
      "epoch": 3,
      "opts": torch_files.Object(
        torch_files.Global("argparse", "Namespace"), {"lr": 0.1}
      ),
    }
  beside = {"optimizerD": OPTIMIZER, "metrics_trace": TRACE, "epoch": 30}
  if kind == "unsup3d":
    return first_state() | beside
  return second_state() | first_state(is_joined=False) | beside


KINDS = ("fabnet", "unsup3d", "latentface")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
  return tmp_path_factory.mktemp("published")


@pytest.fixture(scope="module", params=KINDS)
def converted(request, folder):
  """A published checkpoint of the old format, and the file made of it."""
  kind = request.param
  path = torch_files.write_legacy(folder / f"{kind}.pth", checkpoint_of(kind))
  output = folder / f"{kind}.safetensors"
  command.main([f"--input={path}", f"--kind={kind}", f"--output={output}"])
  return kind, path, output


def run(monkeypatch, **options):
  arguments = [f"--{name}={value}" for name, value in options.items()]
  monkeypatch.setattr("sys.argv", ["convert", *arguments])
  return cli.run(command.main)


def refused(monkeypatch, capsys, **options):
  """Runs a command that must fail; returns the one line that it says."""
  assert run(monkeypatch, **options) == 1
  (line,) = capsys.readouterr().err.splitlines()
  assert line.startswith("error: ")
  return line


def flat(tree, prefix=""):
  out = {}
  for name, value in tree.items():
    if isinstance(value, dict):
      out |= flat(value, f"{prefix}{name}.")
    elif isinstance(value, np.ndarray):
      out[prefix + name] = value
  return out


def wanted(kind):
  """The arrays of a checkpoint that matter, by the names that come back."""
  found = flat(checkpoint_of(kind))
  if kind == "fabnet":
    return {
      name.removeprefix("state_dict_model."): value
      for name, value in found.items()
      if "optimizer" not in name and "num_batches" not in name
    }
  # Only training needs the confidence network.
  return {
    name: value
    for name, value in found.items()
    if not name.startswith(("optimizer", "netC"))
  }


def test_both_ways_every_weight_is_the_same(converted, tmp_path):
  kind, _, output = converted
  back = tmp_path / "back.safetensors"
  command.main(["--to=torch", f"--input={output}", f"--output={back}"])
  got, want = safetensors.numpy.load_file(back), wanted(kind)
  assert got.keys() == want.keys()
  for name, value in want.items():
    assert got[name].dtype == np.float32
    np.testing.assert_array_equal(got[name], value, err_msg=name)
  again = tmp_path / "again.safetensors"
  command.main([f"--input={back}", f"--kind={kind}", f"--output={again}"])
  first, second = (safetensors.numpy.load_file(x) for x in (output, again))
  jax.tree.map(np.testing.assert_array_equal, first, second)


def test_the_file_has_the_published_settings(converted):
  kind, _, output = converted
  found = weight_file.read(output)
  config = found.config
  assert found.metadata["facerep_jax"] == weight_file.EXACT_FORMAT
  assert found.metadata["summary"].startswith(
    {"fabnet": "FAb-Net", "unsup3d": "Unsup3D", "latentface": "LatentFace"}[
      kind
    ]
    + f", converted from {kind}.pth, "
  )
  if kind == "fabnet":
    assert config.preset == "sources" and config.model.use_mask
    sizes = config.model.size_px, config.model.width, config.model.embed_dim
    assert sizes == (32, 4, 8)
    return
  first = config.model.get("autoencoder", config.model)
  assert config.preset == "paper" and first.num_groups == 16
  sizes = first.size_px, first.width, first.code_dim
  assert sizes == (64, 16, 32)
  assert (first.vector_width, first.hidden_dim) == (2, 8)
  if kind == "latentface":
    assert (config.model.width, config.model.num_groups) == (64, 32)
    assert not config.model.standardise


def test_features_are_those_of_a_start_from_the_published_file(converted):
  kind, path, output = converted
  loaded = facerep_jax.load(output, devices=ONE)
  images = made_up_faces.photos(2, loaded.size_px)
  got = loaded.embed(images, is_cropped=True)
  config = loaded.config.copy_and_resolve_references()
  first = config
  if kind == "latentface":
    first.stage, first.model = "autoencoder", config.model.autoencoder
  first.init_from = str(path)
  abstract = jax.eval_shape(base.build(first).init, jax.random.key(0))
  started, moves = init_from.read(first, abstract, loaded.mesh)
  assert moves == 0
  code = base.build(first).represent(
    started, images / np.float32(255), jax.random.key(0)
  )[0]
  for name in code:
    # One is compiled as a whole, the other operation by operation.
    atol = 1e-5 * np.abs(code[name]).max()
    np.testing.assert_allclose(got[name], code[name], rtol=0, atol=atol)
    assert np.ptp(got[name]) > 0, name


def test_a_run_starts_from_the_converted_file(converted):
  kind, _, output = converted
  found = weight_file.read(output)
  config = found.config
  config.init_from = str(output)
  abstract = jax.eval_shape(base.build(config).init, jax.random.key(0))
  started, _ = init_from.read(
    config, abstract._replace(frozen={}), jax.make_mesh((1,), ("data",))
  )
  jax.tree.map(
    np.testing.assert_array_equal, started.params, found.variables.params
  )


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


def test_what_is_printed(folder, tmp_path, monkeypatch, capsys):
  path = torch_files.write_zip(tmp_path / "a.pth", checkpoint_of("fabnet"))
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


def test_the_first_stage_from_a_file_of_its_own(folder, tmp_path):
  denoisers = torch_files.write_zip(tmp_path / "second.pth", second_state())
  published_first = torch_files.write_zip(tmp_path / "first.pth", first_state())
  first = tmp_path / "first.safetensors"
  command.main(
    [f"--input={published_first}", "--kind=unsup3d", f"--output={first}"]
  )
  arguments = [f"--input={denoisers}", "--kind=latentface"]
  with pytest.raises(errors.InputError, match="Give the file with it as --fir"):
    command.main([*arguments, f"--output={tmp_path / 'x.safetensors'}"])
  whole = torch_files.write_zip(
    tmp_path / "whole.pth", second_state() | first_state(False)
  )
  outputs = [tmp_path / f"{i}.safetensors" for i in range(3)]
  for output, given in zip(outputs, (first, published_first)):
    command.main([*arguments, f"--first={given}", f"--output={output}"])
    assert f"`{given.name}`" in output.with_suffix(".md").read_text()
  command.main([f"--input={whole}", *arguments[1:], f"--output={outputs[2]}"])
  found = [safetensors.numpy.load_file(x) for x in outputs]
  for other in found[1:]:
    jax.tree.map(np.testing.assert_array_equal, found[0], other)
  with pytest.raises(errors.InputError, match="Leave one of them out"):
    command.main(
      [f"--input={whole}", *arguments[1:], f"--first={first}"]
      + [f"--output={tmp_path / 'x.safetensors'}"]
    )
  fabnet_file = tmp_path / "fabnet.safetensors"
  made_up_models.representation("fabnet").save(fabnet_file)
  with pytest.raises(errors.InputError, match="expected LatentFace's first st"):
    command.main(
      [*arguments, f"--first={fabnet_file}"]
      + [f"--output={tmp_path / 'x.safetensors'}"]
    )
  assert not (tmp_path / "x.safetensors").exists()
  assert not (tmp_path / "x.md").exists()


@pytest.mark.parametrize("write", ["write_zip", "write_legacy"])
@pytest.mark.parametrize("kind", [*KINDS, "vgg16"])
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
  checkpoint = checkpoint_of(kind)
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


@pytest.mark.parametrize("kind", KINDS)
def test_all_that_is_wrong_is_one_line(kind, tmp_path, monkeypatch, capsys):
  checkpoint, parts = _breaks(kind)
  path = torch_files.write_zip(tmp_path / "a.pth", checkpoint)
  output = tmp_path / "b.safetensors"
  line = refused(monkeypatch, capsys, input=path, kind=kind, output=output)
  for part in (str(path), *parts):
    assert part in line, part
  assert list(tmp_path.iterdir()) == [path]


def test_sizes_that_differ_between_networks_are_listed(tmp_path):
  models = FIRST | {
    "albedo": nets.MapNet(64, 32, 32, 1, True),
    "view": nets.VectorNet(64, 2, 5, 16),
  }
  path = torch_files.write_zip(
    tmp_path / "a.pth", first_state(models=models) | second_state(48)
  )
  with pytest.raises(errors.InputError) as caught:
    published_weights.read(path, "unsup3d")
  for part in (
    "width: expected one for all, got netD 16, netA 32",
    "hidden_dim: expected one for all, got netL 8, netV 16",
    "netA: expected 3 outputs, got 1",
    "netV: expected 6 outputs, got 5",
  ):
    assert part in str(caught.value)
  other = second_state(width=96)["netED"]
  checkpoint = first_state() | second_state(48) | {"netED": other}
  path = torch_files.write_zip(tmp_path / "b.pth", checkpoint)
  with pytest.raises(errors.InputError) as caught:
    published_weights.read(path, "latentface")
  for part in (
    "netEA: expected code_dim 32, as of the other networks, got 48",
    "netED: expected width 64, as of the other networks, got 96",
  ):
    assert part in str(caught.value)


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
  path = torch_files.write_zip(tmp_path / "a.pth", fabnet_state())
  given = {"input": path, "kind": "fabnet", "output": "{tmp}/b.safetensors"}
  given = {
    name: str(value).format(tmp=tmp_path)
    for name, value in (given | options).items()
    if value is not None
  }
  assert said in refused(monkeypatch, capsys, **given)
  assert list(tmp_path.iterdir()) == [path]


def test_what_lies_there_already(tmp_path, monkeypatch, capsys):
  path = torch_files.write_zip(tmp_path / "a.pth", fabnet_state())
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
  state = fabnet_state()
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


@pytest.mark.parametrize("converted", ["unsup3d"], indirect=True)
def test_names_of_the_first_stage_are_chosen(converted, tmp_path):
  _, _, output = converted
  for names, first in (("unsup3d", "network"), ("latentface", "network1")):
    back = tmp_path / f"{names}.safetensors"
    command.main(
      ["--to=torch", f"--input={output}", f"--kind={names}"]
      + [f"--output={back}"]
    )
    assert f"netD.{first}.0.weight" in safetensors.numpy.load_file(back)
    assert "\n- netC\n" in back.with_suffix(".md").read_text()


def test_a_network_that_is_there_is_written():
  config = made_up_models.config(
    "autoencoder", model__depth_gain=1.0, model__depth_prior=0.0
  )
  config.model.num_groups = 16
  variables = made_up_models.variables(config)
  found = torch_state.of_model(config, variables, "latentface")
  assert found.lacking == () and found.kind == "latentface"
  back = unsup3d.from_torch(found.arrays)
  assert back.keys() == variables.params.keys()
  jax.tree.map(np.testing.assert_array_equal, back, variables.params)


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


def test_vgg16_for_the_perceptual_loss(tmp_path):
  shapes = jax.eval_shape(
    vgg.Vgg16Features().init, jax.random.key(0), np.zeros((1, 8, 8, 3), "f4")
  )
  params = draw(shapes["params"])
  state = vgg16.to_torch(params)
  later = {
    "features.17.weight": np.zeros((5, 4, 3, 3), np.float32),
    "classifier.6.bias": np.zeros(3, np.float32),
  }
  path = torch_files.write_legacy(
    tmp_path / "vgg16-397923af.pth", state | later
  )
  output = tmp_path / "vgg16.safetensors"
  command.main([f"--input={path}", "--kind=vgg16", f"--output={output}"])
  jax.tree.map(
    np.testing.assert_array_equal, perceptual.read_vgg16(output), params
  )
  assert torch_file.read(output).keys() == state.keys()
  assert "library_name: safetensors" in output.with_suffix(".md").read_text()
  narrow = {k: v[:4] for k, v in state.items() if k == "features.0.bias"}
  broken = torch_files.write_zip(tmp_path / "b.pth", state | narrow)
  with pytest.raises(errors.InputError, match=r"features\.0\.bias has shape"):
    published_weights.read_vgg16(broken)
