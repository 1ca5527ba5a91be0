"""Checkpoints such as the published code saves, tiny, with random weights."""

import jax
import numpy as np

from facerep_jax.convert import __main__ as command
from facerep_jax.convert import fabnet, rdm, unsup3d
from facerep_jax.models import unsup3d as nets
from tests import made_up_models, torch_files

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


KINDS = ("fabnet", "unsup3d", "latentface")


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


def convert(kind, folder):
  """Converts a published checkpoint of the old format; returns both files."""
  path = torch_files.write_legacy(folder / f"{kind}.pth", checkpoint_of(kind))
  output = folder / f"{kind}.safetensors"
  command.main([f"--input={path}", f"--kind={kind}", f"--output={output}"])
  return path, output
