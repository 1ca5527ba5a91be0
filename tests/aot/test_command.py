import json
import pathlib

import pytest

from facerep_jax import errors
from facerep_jax.aot import __main__ as aot
from facerep_jax.aot import chips, processes, results

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
CONFIG = "--config=tests/aot/small_config.py"


@pytest.fixture(autouse=True)
def _at_root(monkeypatch):
  monkeypatch.chdir(ROOT)


def test_a_step_is_compiled_for_eight_cpus(tmp_path, capsys):
  path = tmp_path / "found.json"
  aot.main([CONFIG, "--topology=cpu:8", f"--output={path}"])
  assert "Compiled, not run" in capsys.readouterr().out
  found = json.loads(path.read_text())
  assert found["what"] == "compiled, not run" and found["topology"] == "cpu:8"
  (row,) = found["steps"]
  assert (row["num_devices"], row["num_slices"]) == (8, 1)
  assert row["batch_size"] == 8 and row["fits"] is None
  assert row["parameter_bytes"] == 4 * 384 * 7
  memory = row["memory"]
  # The weights and their momentum, and a row of the batch.
  assert memory["arguments"] >= 2 * row["parameter_bytes"] + 384
  # The state is given away: what is new are the metrics.
  assert memory["outputs"] < row["parameter_bytes"]
  parts = ("arguments", "outputs", "temporaries", "code")
  assert memory["total"] == sum(memory[name] for name in parts)
  gradient = next(x for x in row["collectives"] if x["is_gradient"])
  assert gradient["kind"] == "all-reduce"
  assert gradient["num_bytes"] >= row["parameter_bytes"]
  assert not any(x["is_in_loop"] for x in row["collectives"])
  assert row["flops"] > 0 and row["compile_s"] > 0
  assert row["lookups"]["lookups"] == 0  # It is a product.


def test_a_batch_that_is_gathered_is_refused():
  arguments = [CONFIG, "--topology=cpu:2", "--config.model.gathered=384"]
  with pytest.raises(errors.InputError) as caught:
    # A device's half of eight rows of 384 numbers are 6 kB.
    aot.main([*arguments, "--max-collective-mb=0.005"])
  assert "that is no gradient" in str(caught.value)
  assert "--max-collective-mb=0.005" in str(caught.value)


def _measured(config, topology):
  """Stands in for the compiler: ten bytes a row."""
  return {
    "device_kind": "made up",
    "num_devices": topology.num_devices,
    "num_slices": topology.num_slices,
    "batch_size": config.batch_size,
    "memory": {"total": 10 * config.batch_size / topology.num_devices},
    "flops": None,
    "collectives": [],
    "lookups": {"lookups": 7, "scatters": 0, "rows": 0, "loops": 0},
    "is_out_of_memory": False,
    "compile_s": 1.0,
  }


def test_the_largest_batch_of_each_stage(monkeypatch, capsys):
  monkeypatch.setattr(processes, "measure", _measured)
  monkeypatch.setattr(processes, "check_compiler", lambda topology: None)
  arguments = ["--topology=v5e:4x4", "--largest-batch", "--memory-gb=2e-6"]
  aot.main(["--config=latentface:paper", *arguments])
  out = capsys.readouterr().out
  rows = [x for x in out.splitlines() if x.startswith("| latentface:paper")]
  assert len(rows) == 2
  for row, stage in zip(rows, ("autoencoder", "diffusion")):
    assert f"latentface:paper, {stage}" in row and " yes " in row
    # 2000 bytes are 200 rows a device.
    assert 16 * 175 < int(row.split("|")[5]) <= 16 * 200


@pytest.mark.parametrize(
  ("arguments", "says"),
  [
    ([], "arguments are required: --topology"),
    (["--topology=v5e:4x4"], "--config is missing"),
    ([CONFIG, "--topology=v9:4x4"], "expected one of v4, v5e"),
    ([CONFIG, "--topology=v5e:4by4"], "such as v5e:4x4"),
    ([CONFIG, "--topology=v5e:0x4"], "expected sizes from 1"),
    ([CONFIG, "--topology=cpu:2x2"], "of cpu one"),
    ([CONFIG, "--topology=cpu:8", "--slices=2"], "of cpu there is one"),
    ([CONFIG, "--topology=v5e:4x4", "--slices=0"], "--slices=0"),
    ([CONFIG, "--topology=cpu:3"], "config.batch_size=8 does not divide"),
    ([CONFIG, "--topology=cpu:3", "--batch-size=4"], "--batch-size=4 does not"),
    (
      ["--config=latentface:paper", "--topology=cpu:2"],
      "config.diffusion.batch_size=1 does not divide among 2",
    ),
    ([CONFIG, "--topology=cpu:2", "--memory-gb=nan"], "--memory-gb=nan"),
    ([CONFIG, "--topology=cpu:2", "--largest-batch"], "Give --memory-gb"),
    ([CONFIG, "--topology=cpu:2", "--config.btach=2"], "no such setting"),
    ([CONFIG, "--topology=cpu:2", "--config.batch_size=x"], "batch_size"),
    ([CONFIG, "--topology=cpu:2", "--top=1"], "unrecognized arguments"),
  ],
)
def test_what_cannot_be_compiled_is_one_line(arguments, says):
  with pytest.raises(errors.InputError) as caught:
    aot.main(arguments)
  assert says in str(caught.value)


def test_without_libtpu_it_says_how_to_install_it(monkeypatch):
  monkeypatch.setattr(processes.importlib.util, "find_spec", lambda name: None)
  with pytest.raises(errors.InputError, match=r"pip install .libtpu"):
    aot.main([CONFIG, "--topology=v5e:2x4"])


def test_a_compiler_that_dies_is_one_line(monkeypatch):
  monkeypatch.setattr(processes.sys, "executable", "/bin/false")
  with pytest.raises(errors.InputError, match="ended with code 1"):
    aot.main([CONFIG, "--topology=cpu:2"])


def test_environment_of_the_compiler(monkeypatch):
  monkeypatch.setenv("XLA_FLAGS", "--a")
  monkeypatch.setenv("LIBTPU_INIT_ARGS", "--b")
  around = processes.environment(chips.parse("cpu:4"))
  count = "--xla_force_host_platform_device_count=4"
  assert around["XLA_FLAGS"] == f"--a {count}"
  around = processes.environment(chips.parse("v6e:4x4"))
  assert around["XLA_FLAGS"] == "--a"
  assert around["LIBTPU_INIT_ARGS"].startswith("--b --fibers_default")
  assert around["TPU_SKIP_MDS_QUERY"] == "1"


@pytest.mark.parametrize(
  ("text", "slices", "num_devices", "gigabytes"),
  [
    ("v5e:16x16", 2, 512, 16),
    ("v4:2x2x4", 1, 32, 16),  # Two devices a chip.
    ("v5p:2x2x2", 1, 8, 95),
    ("v6e:4x4", 1, 16, 32),
    ("tpu7x:2x2x1", 1, 8, 96),  # Two devices a chip.
    ("cpu:8", 1, 8, None),
  ],
)
def test_devices_and_their_memory(text, slices, num_devices, gigabytes):
  topology = chips.parse(text, slices)
  assert topology.name == text and topology.num_devices == num_devices
  limit = topology.memory_bytes
  assert limit == (None if gigabytes is None else gigabytes * 1e9)


def test_what_is_too_large_is_told():
  row = _measured(type("C", (), {"batch_size": 800}), chips.parse("cpu:8"))
  row |= {"stage": "x"}
  assert results.problems([row], 1000.0, 1.0) == []
  (line,) = results.problems([row], 999.0, 1.0)
  assert line.startswith("x: does not fit")
  row |= {"is_out_of_memory": True, "memory": None, "collectives": None}
  (line,) = results.problems([row], 1e9, 1.0)
  assert "more than there is" in line
  assert "| no " in results.markdown([row], 1e9)


def test_what_xla_says_of_memory():
  from facerep_jax.aot import worker

  text = "Ran out of memory in memory space hbm. Used 17.5G of 15.75G hbm. E"
  assert worker._used(text) == {"total": 17.5 * 2**30}
  assert worker._used("another text") is None
