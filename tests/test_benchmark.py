import json
import types

import pytest

from facerep_jax import benchmark, cli, errors
from facerep_jax.benchmarks import fabnet, report


@pytest.fixture
def asked(monkeypatch):
  """Benchmarks that only note what they were asked."""
  calls = []

  def make(name):
    def fake(options):
      calls.append((name, options.sizes, options.seconds))
      column = report.Column("value", "value")
      return [report.Section(name, name, (column,), [{"value": 7}])]

    return fake

  fakes = {name: make(name) for name in benchmark.BENCHMARKS}
  monkeypatch.setattr(benchmark, "BENCHMARKS", fakes)
  return calls


def command(monkeypatch, *arguments):
  monkeypatch.setattr("sys.argv", ["benchmark", *arguments])
  return cli.run(benchmark.main)


def test_everything_by_default(asked, monkeypatch, tmp_path, capsys):
  assert command(monkeypatch, f"--output={tmp_path / 'new' / 'out'}") == 0
  named = {"detection", "face_tools"}
  names = [x for x in benchmark.BENCHMARKS if x not in named]
  assert {"data", "fabnet", "autoencoder", "devices"} < set(names)
  assert [call[0] for call in asked] == names
  assert asked[0][1:] == ({64: 32, 128: 16, 256: 8}, 8.0)
  folder = tmp_path / "new" / "out"
  saved = json.loads((folder / "benchmark.json").read_text())
  assert saved["results"] == {name: [{"value": 7}] for name in names}
  assert {"load_before", "load_after", "versions"} <= set(saved["machine"])
  printed = capsys.readouterr().out
  assert (folder / "benchmark.md").read_text() in printed
  assert "| value |" in printed


def test_a_run_that_fails_leaves_the_tables_before(
  asked, monkeypatch, tmp_path
):
  def fail(options):
    column = report.Column("row", "row")
    options.save(report.Section("render", "", (column,), [{"row": 1}]))
    raise errors.InputError("no room")

  monkeypatch.setitem(benchmark.BENCHMARKS, "render", fail)
  code = command(monkeypatch, "--only=data,render", f"--output={tmp_path}")
  assert code == 1
  saved = json.loads((tmp_path / "benchmark.json").read_text())
  assert saved["results"] == {"data": [{"value": 7}], "render": [{"row": 1}]}


def test_only_and_its_order(asked, monkeypatch, tmp_path):
  options = ("--sizes=32:2,64:4", "--seconds=0.5", f"--output={tmp_path}")
  assert command(monkeypatch, "--only=fabnet,data,fabnet", *options) == 0
  sizes = {32: 2, 64: 4}
  assert asked == [("fabnet", sizes, 0.5), ("data", sizes, 0.5)]


@pytest.mark.parametrize(
  "argument, text",
  [
    ("--only=data,speed", "--only=data,speed: expected some of data, fabnet"),
    ("--only=", "expected some of data, fabnet"),
    ("--sizes=64", "--sizes=64: expected pixels and batch sizes"),
    ("--sizes=64:a", "such as 64:32,128:16"),
    ("--sizes=48:2", "power of two"),
    ("--sizes=64:0", "batches of 1 or more"),
    ("--presets=demo:64", "such as demo:64:8,paper:64:64"),
    ("--presets=dmeo:64:8", "no preset 'dmeo'; there are paper"),
    ("--presets=demo:96:8", "expected 64, 128 or 256 px"),
    ("--torch=eager,fast", "fast: expected some of eager, channels_last"),
    ("--dtypes=float64", "expected some of float32, bfloat16"),
    ("--dtypes=", "--dtypes=: expected some of float32"),
    ("--speed=1", "--help"),
    ("--output={tmp}/file", "expected a folder, or a place to make"),
  ],
)
def test_what_cannot_be_measured_is_one_line(
  asked, monkeypatch, tmp_path, capsys, argument, text
):
  (tmp_path / "file").write_text("")
  monkeypatch.chdir(tmp_path)
  assert command(monkeypatch, argument.format(tmp=tmp_path)) == 1
  (line,) = capsys.readouterr().err.splitlines()
  assert line.startswith("error: ") and text in line
  assert not asked and not (tmp_path / "runs").exists()


def test_configs_are_those_of_the_package(monkeypatch, tmp_path):
  monkeypatch.chdir(tmp_path)
  config = benchmark._config("latentface", "demo")
  assert (config.system, config.preset) == ("latentface", "demo")
  assert config.diffusion.steps == 900


@pytest.mark.parametrize("backend", ["cpu", "gpu"])
def test_sections_of_the_renderer(monkeypatch, backend):
  monkeypatch.setattr(benchmark.jax, "default_backend", lambda: backend)
  monkeypatch.setattr(
    benchmark.render,
    "measure",
    lambda forms, limit_s: [limit_s, "hard, tiles" in forms],
  )
  monkeypatch.setattr(
    benchmark.render, "against_brute_force", lambda limit_s: -limit_s
  )
  options = types.SimpleNamespace(seconds=2.0)
  sections = benchmark.BENCHMARKS["render"](options)
  assert list(sections) == [2.0, backend != "cpu", -2.0]


@pytest.mark.parametrize(
  ("backend", "torch", "want"),
  [
    ("cpu", None, (("float32",), ("eager", "channels_last"))),
    ("gpu", None, (("float32", "bfloat16"), tuple(fabnet.TORCH_FORMS))),
    ("gpu", (), (("float32", "bfloat16"), ())),
  ],
)
def test_types_and_forms_of_fabnet(monkeypatch, backend, torch, want):
  monkeypatch.setattr(benchmark.jax, "default_backend", lambda: backend)
  monkeypatch.setattr(fabnet, "measure", lambda sizes, **asked: asked)
  options = types.SimpleNamespace(
    sizes={}, seconds=2.0, dtypes=None, torch=torch, save=print
  )
  (asked,) = benchmark.BENCHMARKS["fabnet"](options)
  assert (asked["dtypes"], asked["torch_forms"]) == want
  assert asked["limit_s"] == 2.0 and asked["so_far"] is print


def test_diffusion_gets_its_seconds(monkeypatch):
  monkeypatch.setattr(benchmark.diffusion, "measure", lambda limit_s: limit_s)
  options = types.SimpleNamespace(seconds=2.0)
  assert benchmark.BENCHMARKS["diffusion"](options) == [2.0]


def test_presets_of_the_autoencoder(monkeypatch):
  monkeypatch.setattr(
    benchmark.autoencoder, "measure", lambda configs, **more: configs
  )
  monkeypatch.setattr(
    benchmark.autoencoder_pieces, "measure", lambda config, limit_s: config
  )
  configs, of_pieces = benchmark.BENCHMARKS["autoencoder"](
    types.SimpleNamespace(
      seconds=2.0, presets=benchmark.autoencoder.PRESETS, save=None
    )
  )
  wanted = benchmark.autoencoder.PRESETS
  assert wanted == tuple(
    (c.preset, c.model.size_px, c.batch_size) for c in configs
  )
  assert {(c.preset, c.model.width) for c in configs} == {
    ("demo", 16),
    ("paper", 64),
  }
  # As it trains.
  assert (of_pieces.preset, of_pieces.model.size_px) == ("demo", 64)
  assert of_pieces.batch_size * of_pieces.model.num_frames == 16


def test_demos_on_devices(monkeypatch):
  monkeypatch.setattr(
    benchmark.devices, "measure", lambda configs, limit_s: (configs, limit_s)
  )
  ((configs, limit_s),) = benchmark.BENCHMARKS["devices"](
    types.SimpleNamespace(seconds=2.0)
  )
  assert limit_s == 2.0
  assert {(c.system, c.preset) for c in configs.values()} == {
    ("latentface", "demo"),
    ("fabnet", "demo"),
  }
