import ast
import base64
import io
import json
import pathlib
import sys

import jupyter_client
import nbclient
import nbformat
import numpy as np
import pytest
from IPython.core import inputtransformer2
from jupyter_client import kernelspec
from PIL import Image

from tests import small_runs

ROOT = pathlib.Path(__file__).resolve().parent.parent
COLABS = ROOT / "colabs"
NAMES = sorted(path.stem for path in COLABS.glob("*.ipynb"))
KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}
# Most of the time goes into compiling: one device, and random numbers whose
# programs are short.
ENVIRONMENT = small_runs.ONE_DEVICE | {
  "JAX_DEFAULT_PRNG_IMPL": "unsafe_rbg",
}
# Of both stages; fewer and smaller frames to draw at the end.
STAGES = """
from facerep_jax.inference import sheets
from facerep_jax.training import summary
from tests import tiny_face

sheets.FILM_PX, sheets.FILM_FRAMES = 32, 3
summary._NUM_EXAMPLES = 4

def get_config():
  config = tiny_face.lean("")
  config.synthetic.update(num_frames=4, tracks_per_person=1)
  config.autoencoder.every.pictures = config.diffusion.every.pictures = 0
  return config
"""


# What notebooks import besides the package, numpy and matplotlib.
OTHERS = {"your_own_videos": {"pyarrow"}, "tpu": {"jax"}}


def read(name):
  return nbformat.read(COLABS / f"{name}.ipynb", nbformat.NO_CONVERT)


def code_cells(notebook):
  return [cell for cell in notebook.cells if cell.cell_type == "code"]


def trees(notebook):
  """Parses the code cells; magics become calls."""
  transform = inputtransformer2.TransformerManager().transform_cell
  return [ast.parse(transform(x.source)) for x in code_cells(notebook)]


def settings_cell(notebook):
  (cell,) = (
    x for x in notebook.cells if "parameters" in x.metadata.get("tags", ())
  )
  return cell


def settings(notebook):
  """Returns the settings by name; all must be plain values."""
  out = {}
  for line in ast.parse(settings_cell(notebook).source).body:
    (target,) = line.targets
    out[target.id] = ast.literal_eval(line.value)
  return out


def test_there_are_notebooks():
  assert {"fabnet", "latentface", "tpu", "your_own_videos"} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_notebooks_hold_no_results_and_little_else_than_text(name):
  notebook = read(name)
  nbformat.validate(notebook)
  assert notebook.metadata == {"kernelspec": KERNEL}
  assert [x.cell_type for x in notebook.cells[:2]] == ["markdown", "code"]
  for cell in code_cells(notebook):
    assert cell.outputs == [] and cell.execution_count is None
  for cell in notebook.cells:
    tags = {"tags": ["parameters"]} if cell.id == "settings" else {}
    assert cell.metadata == tags


@pytest.mark.parametrize("name", NAMES)
def test_the_first_cell_installs_the_package_where_it_is_not(name):
  first = code_cells(read(name))[0].source
  assert first.startswith("try:\n  import ")
  assert '%pip install -q "..[' in first.split("except ImportError:\n")[1]


@pytest.mark.parametrize("name", NAMES)
def test_notebooks_import_little_besides_the_package(name):
  modules = set()
  for tree in trees(read(name)):
    for node in ast.walk(tree):
      if isinstance(node, ast.Import):
        modules |= {alias.name for alias in node.names}
      if isinstance(node, ast.ImportFrom):
        modules.add(node.module)
  roots = {module.split(".")[0] for module in modules}
  roots -= set(sys.stdlib_module_names) | {"numpy"}
  assert roots == {"facerep_jax", "matplotlib"} | OTHERS.get(name, set())


@pytest.mark.parametrize("name", NAMES)
def test_every_setting_counts(name):
  notebook = read(name)
  used = {
    node.id
    for tree in trees(notebook)
    for node in ast.walk(tree)
    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)
  }
  assert settings(notebook).keys() <= used


class Executed:
  """A notebook that ran from top to bottom.

  Attributes:
    folder: Where it ran.
    cells: Its code cells, with their outputs, by id.
    found: What expressions gave, by the id of the cell after which they were
      evaluated.
  """

  def __init__(self, name, folder, ask, **changes):
    """Runs it with other settings; `ask` holds expressions by id of a cell."""
    notebook = read(name)
    cell = settings_cell(notebook)
    assert changes.keys() <= settings(notebook).keys()
    cell.source = "\n".join(
      f"{key} = {value!r}"
      for key, value in (settings(notebook) | changes).items()
    )
    for i in range(len(notebook.cells), 0, -1):
      expression = ask.get(notebook.cells[i - 1].id)
      if expression:
        source = f"import json\nprint(json.dumps({expression}))"
        asking = nbformat.v4.new_code_cell(source)
        asking.id = f"after-{notebook.cells[i - 1].id}"
        notebook.cells.insert(i, asking)
    # Without folders of kernels, it is the one of this interpreter.
    kernels = kernelspec.KernelSpecManager(kernel_dirs=[])
    assert kernels.get_kernel_spec("python3").argv[0] == sys.executable
    manager = jupyter_client.AsyncKernelManager(
      kernel_name="python3", kernel_spec_manager=kernels
    )
    nbclient.NotebookClient(
      notebook,
      km=manager,
      timeout=1800,
      resources={"metadata": {"path": str(folder)}},
    ).execute(cleanup_kc=True)  # Else the kernel lives as long as this process.
    self.folder = folder
    self.cells = {x.id: x for x in code_cells(notebook)}
    self.found = {x: json.loads(self.text(f"after-{x}")) for x in ask}

  def text(self, cell):
    """Returns what a cell printed."""
    return "".join(
      x.text
      for x in self.cells[cell].outputs
      if x.output_type == "stream" and x.name == "stdout"
    )

  def picture(self, cell):
    """Returns the one picture that a cell shows, [H, W, 3] uint8."""
    (png,) = (
      x.data["image/png"]
      for x in self.cells[cell].outputs
      if "image/png" in x.get("data", {})
    )
    image = Image.open(io.BytesIO(base64.b64decode(png)))
    return np.asarray(image.convert("RGB"))


@pytest.fixture(autouse=True)
def _kernel(tmp_path, monkeypatch):
  """Gives kernels the package under test, and no files of the user's."""
  places = {
    "PYTHONPATH": ROOT,
    "FACEREP_CACHE": tmp_path / "cache",
    "JUPYTER_RUNTIME_DIR": tmp_path / "runtime",
    "IPYTHONDIR": tmp_path / "ipython",
  }
  for name, value in (ENVIRONMENT | places).items():
    monkeypatch.setenv(name, str(value))
  monkeypatch.delenv("MPLBACKEND", raising=False)


def check_pictures(executed, cells):
  """Each shows something, and each something else."""
  shown = [executed.picture(cell) for cell in cells]
  for cell, picture in zip(cells, shown):
    assert picture.std() > 10, cell
  assert len({picture.tobytes() for picture in shown}) == len(shown)


# Of columns of pictures, by caption: how far they are from the one named %s.
FROM = "{x: float(abs(y - columns[%r]).mean()) for x, y in columns.items()}"


def test_fabnet(tmp_path):
  done = Executed(
    "fabnet",
    tmp_path,
    {
      "curve": "steps",
      "codes": "[codes.shape, distance.tolist(), list(test.group[chosen])]",
    },
    CONFIG=str(ROOT / "configs" / "fabnet.py:demo"),
    WORK="work",
    NUM_PEOPLE=10,
    NUM_FRAMES=4,
    FRAME_PX=48,
    SIZE_PX=32,
    WIDTH=4,
    CODE_DIM=8,
    BATCH_SIZE=4,
    STEPS=6,
    EVAL_EVERY=3,
    NUM_FACES=12,
  )
  assert done.text("install") == ""
  assert "train: 7 people, 14 tracks, 56 frames" in done.text("tracks")
  assert "linear probe of yaw, random weights" in done.text("training")
  assert done.found["curve"] == [3, 6]
  for task in ("landmarks", "pose", "expression"):
    assert f"{task}: tracks, test" in done.text("linear-probes")
  report = tmp_path / "work" / "report" / "results.json"
  for task in json.loads(report.read_text())["tasks"]:
    entries = {x["kind"]: x["scores"] for x in task["entries"]}
    assert entries.keys() == {"run", "random", "pixels", "hog"}
    assert entries["run"] != entries["random"]
  shape, distance, people = done.found["codes"]
  assert shape == [12, 8]
  is_same = np.array(people)[:, None] == people
  assert np.isinf(distance)[is_same].all() and not is_same.all()
  assert (np.array(distance)[~is_same] > 0).all()
  check_pictures(done, ["sheet", "curve", "flow", "ring", "scores", "codes"])


def test_latentface(tmp_path):
  (tmp_path / "stages.py").write_text(STAGES)
  done = Executed(
    "latentface",
    tmp_path,
    {
      "factors": FROM % "rebuilt",
      "turn": FROM % "frontal",
      "relight": FROM % "from the left",
      "expression": FROM % "rebuilt",
      "features": "{x: y.shape for x, y in features.items()}",
    },
    CONFIG="stages.py",
    WORK="work",
    NUM_PEOPLE=4,
    FRAME_PX=48,
    CODE_DIM=8,
    HIDDEN_DIM=16,
    STEPS=(2, 2),
    BATCH_SIZES=(2, 2),
    NUM_FACES=2,
  )
  assert done.text("install") == ""
  for name in ("autoencoder", "diffusion"):
    assert f"work/{name}: trained" in done.text("training")
    assert (tmp_path / "work" / name / "done.json").is_file()
  # What is changed is drawn in another way, and nothing else is.
  for cell, same in {
    "factors": "rebuilt",
    "turn": "frontal",
    "relight": "from the left",
    "expression": "rebuilt",
  }.items():
    far = done.found[cell]
    assert far.pop(same) == 0 and min(far.values()) > 0.001, (cell, far)
  assert {"yaw -50", "yaw +50", "pitch +20"} <= done.found["turn"].keys()
  assert {"neutral", "with its expression"} <= done.found["expression"].keys()
  count = len(list((tmp_path / "work" / "examples").glob("*.png")))
  assert done.found["features"] == {
    "albedo_code": [count, 8],
    "depth_code": [count, 8],
    "view": [count, 6],
    "light": [count, 4],
    "identity": [count, 16],
    "identity_wccn": [count, 16],
    "expression": [count, 16],
    "fer": [count, 32],
    "verification": [count, 64],
  }
  check_pictures(done, ["factors", "turn", "relight", "expression", "features"])


def test_your_own_videos(tmp_path):
  done = Executed(
    "your_own_videos",
    tmp_path,
    {
      "table": "[faces.num_rows, spatial.shape, sorted(set(faces['person']"
      ".to_pylist()))]",
      "smile": "[shown.tolist(), smile.shape, float(np.ptp(smile))]",
      "compare": "[r_of, [x['feature'] for x in compared[0]['entries']]]",
    },
    CONFIG=str(ROOT / "configs" / "fabnet.py:adapt"),
    WORK="work",
    NUM_CLIPS=3,
    CLIP_FRAMES=6,
    CLIP_PX=128,
    CANDIDATES=6,
    NUM_PEOPLE=10,
    FRAME_PX=64,
    STEPS=2,
    BATCH_SIZE=2,
    MAX_SHOWN=2,
  )
  assert done.text("install") == ""
  assert "6 people in the tracks of 3 clips" in done.text("tracks")
  # A row for each face and frame, of 4 x 4 places and the code behind them.
  rows, shape, people = done.found["table"]
  assert rows == 3 * 2 * 6 and people == list(range(6))
  assert shape == [rows, 16 * 8 * 24 + 256]
  assert (tmp_path / "work" / "probe.npz").is_file()
  assert "before: r of the lip corner puller" in done.text("probe")
  shown, shape, spread = done.found["smile"]
  assert shown == [0, 1] and shape == [rows] and spread > 0
  r_of, features = done.found["compare"]
  assert r_of.keys() == {"before", "random weights", "after"}
  assert r_of["before"] != r_of["after"]
  assert {"fabnet", "fabnet-synthetic: fabnet"} <= set(features)
  check_pictures(done, ["sheet", "smile"])


def test_tpu(tmp_path, monkeypatch):
  two = ENVIRONMENT["XLA_FLAGS"].replace("device_count=1", "device_count=2")
  monkeypatch.setenv("XLA_FLAGS", two)
  done = Executed(
    "tpu",
    tmp_path,
    {
      "speed": "[[x['title'], x['num_devices']] for x in measured.rows]",
      "readings": "[x['step'] for x in trained]",
    },
    CONFIG=str(ROOT / "configs" / "fabnet.py:demo"),
    WORK="work",
    NUM_PEOPLE=6,
    FRAME_PX=48,
    SIZE_PX=32,
    WIDTH=4,
    ROWS_PER_DEVICE=2,
    STEPS=4,
    EVAL_EVERY=2,
    PROFILE_STEPS=2,
    LIMIT_S=0.1,
    DTYPES=("bfloat16",),
  )
  assert done.text("install") == ""
  assert "2 x cpu, 1 process" in done.text("devices")
  assert "No TPU here: everything below runs on cpu." in done.text("devices")
  assert done.found["speed"] == [["bfloat16", 1], ["bfloat16", 2]]
  assert done.found["readings"] == [2, 4]
  saved = {int(x.name) for x in (tmp_path / "work/run/checkpoints").iterdir()}
  assert saved >= {4, 6}
  assert "work/profile:" in done.text("profile")
  check_pictures(done, ["bars"])
