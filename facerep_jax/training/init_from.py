"""Weights from which a new run starts: of a run, a file or published ones."""

import logging

import flax.traverse_util
import jax
import ml_collections
import numpy as np
from jax.sharding import Mesh

from facerep_jax import errors, sharding
from facerep_jax.convert import fabnet, torch_file, unsup3d
from facerep_jax.inference import lean, packaged, weight_file
from facerep_jax.runs import (
  checkpoint,
  configuration,
  setting_names,
  stages,
)
from facerep_jax.systems import base

_log = logging.getLogger(__name__)


def read(
  config: ml_collections.ConfigDict, abstract: base.Variables, mesh: Mesh
) -> tuple[base.Variables, int]:
  """Reads what `config.init_from` names.

  Args:
    config: Of the run that starts.
    abstract: What it needs, for the shapes; of `frozen`, what the weights may
      hold. Of a network that a file of `Representation.save` leaves out, what
      stands here is returned.
    mesh: Where the arrays go.

  Returns:
    The variables, of `frozen` what was found; and how often the window of the
    curriculum had moved.

  Raises:
    InputError: There are no such weights, or they do not fit.
  """
  path = packaged.place_of(config.init_from)
  if not path.is_file():
    return _of_run(config, path, abstract, mesh)
  of_file = _of_own_file if weight_file.is_one(path) else _of_published_file
  return of_file(config, path, abstract, mesh), 0


def check(config: ml_collections.ConfigDict) -> None:
  """Checks that there is what `config.init_from` names, and that it fits.

  Args:
    config: Of a run that has yet to start.

  Raises:
    InputError: It is not there, or does not fit.
  """
  abstract = jax.eval_shape(base.build(config).init, jax.random.key(0))
  read(config, abstract, sharding.make_mesh())


def _of_run(config, workdir, wanted, mesh):
  """Takes the best checkpoint of another run."""
  place = stages.folder(workdir, config.get("stage"))
  other = configuration.load(place)
  known = jax.eval_shape(base.build(other).init, jax.random.key(0))
  # Frozen parameters of which the other run knows nothing stay as they are.
  taken = [name for name in wanted.frozen if name in known.params]
  params = wanted.params | {name: wanted.frozen[name] for name in taken}
  # It is another run's, which may be at work: each process reads by itself.
  checkpoints = checkpoint.Checkpoints(place, other.keep, is_alone=True)
  step = checkpoints.best()
  if step is None or other.model.get("frozen"):
    raise errors.InputError(
      f"{_asked(config)}: holds no checkpoint of a fully trained model. Train "
      "it first."
    )
  found, meta = checkpoints.restore_inference(
    step,
    base.Variables(params, wanted.model_state, {}),
    sharding.make_mesh(jax.local_devices()[:1]),
    has_ema=bool(other.ema_decay),
  )
  checkpoints.close()
  _log.info("weights from %s, step %d.", place, step)
  variables = base.Variables(
    {name: found.params[name] for name in wanted.params},
    found.model_state,
    {name: found.params[name] for name in taken},
  )
  variables = sharding.put_replicated(jax.device_get(variables), mesh)
  return variables, checkpoint.curriculum_of(meta, step).num_moves


def _of_own_file(config, path, wanted, mesh):
  """Takes what a trained model's file has for the system or its stage."""
  found = weight_file.read(path)
  stage = config.get("stage", "")
  here = config.system, stage
  there = found.config.system, found.config.get("stage", "")
  # A later stage's file holds the networks of the stages before it.
  tree = found.variables.frozen.get(stage, {})
  if here == there:
    tree = found.variables.params
  if here[0] != there[0] or not tree:
    raise errors.InputError(
      f"{_asked(config)}: expected a model of {' '.join(here).strip()}, got "
      f"one of {' '.join(there).strip()}."
    )
  lacking = [x for x in config.model.get("frozen", ()) if x not in tree]
  if lacking:
    raise errors.InputError(
      f"{setting_names.of(config, 'model.frozen')}="
      f"{tuple(config.model.frozen)}: {config.init_from} holds no "
      f"{lacking[0]} network. Let it learn."
    )
  new = [x for x in lean.LEFT_OUT if x in wanted.params and x not in tree]
  needed = wanted._replace(
    params={k: v for k, v in wanted.params.items() if k not in new},
    model_state={k: v for k, v in wanted.model_state.items() if k not in new},
  )
  fitted = _fit(config, path, tree, found.variables.model_state, needed, mesh)
  for name in new:
    _log.info("%s holds no %s network: it starts at random.", path, name)
  return base.Variables(
    wanted.params | fitted.params,
    wanted.model_state | fitted.model_state,
    fitted.frozen,
  )


def _of_published_file(config, path, wanted, mesh):
  """Converts published weights."""
  state = torch_file.read(path)
  if config.system == "fabnet":
    found = fabnet.from_torch(fabnet.state_of(state))
    tree, model_state = found["params"], found["batch_stats"]
  else:
    names = {ours: theirs for theirs, ours in unsup3d.NETS.items()}
    needed = [names[x] for x in (*wanted.params, *wanted.frozen) if x in names]
    tree, model_state = unsup3d.from_torch(state, needed), {}
  return _fit(config, path, tree, model_state, wanted, mesh)


def _fit(config, path, tree, model_state, wanted, mesh):
  """Picks the networks that are wanted, once it is clear that they fit."""
  known = [name for name in wanted.frozen if name in tree]
  found = base.Variables(
    {name: tree[name] for name in wanted.params if name in tree},
    model_state,
    {name: tree[name] for name in known},
  )
  needed = wanted._replace(frozen={k: wanted.frozen[k] for k in known})
  _check_shapes(config, path, found, needed)
  _log.info("weights from %s.", path)
  return sharding.put_replicated(found, mesh)


def _check_shapes(config, path, found, wanted):
  """Lists all arrays that do not fit."""
  shapes = [
    {"/".join(k): list(np.shape(x)) for k, x in _flat(tree).items()}
    for tree in (found, wanted)
  ]
  problems = [
    f"{name}: there {shapes[0].get(name)}, here {shapes[1].get(name)}"
    for name in sorted(shapes[0].keys() | shapes[1].keys())
    if shapes[0].get(name) != shapes[1].get(name)
  ]
  if problems:
    raise errors.InputError(
      f"{setting_names.of(config, 'init_from')}={path}: its weights do "
      f"not fit {setting_names.of(config, 'model')}: "
      f"{'; '.join(problems)}."
    )


def _asked(config):
  """Says where the weights were asked for."""
  return f"{setting_names.of(config, 'init_from')}={config.init_from}"


def _flat(variables):
  return flax.traverse_util.flatten_dict(variables._asdict())
