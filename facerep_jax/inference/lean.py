"""A trained model without what only its training needs."""

import ml_collections

from facerep_jax.systems import base

# Networks that no feature and no picture comes from; the masks of FAb-Net where
# its config does without them, as they did not learn.
LEFT_OUT = ("confidence", "features", "mask_decoder")


def config_of(config: ml_collections.ConfigDict) -> ml_collections.ConfigDict:
  """Returns the config of the model that `variables_of` leaves.

  Args:
    config: Of a run without stages, or of one stage.

  Returns:
    A copy without confidence network and features of the loss, in which
    nothing is frozen.
  """
  lean = ml_collections.ConfigDict(config.to_dict())
  for model in (lean.model, *(lean.model.get(x) for x in _stages(config))):
    if model is None:
      continue
    changes = {
      "use_confidence": False,
      "perceptual": "none",
      "vgg16_path": "",
      "frozen": (),
    }
    for name, value in changes.items():
      if name in model:
        model[name] = value
  return lean


def variables_of(
  config: ml_collections.ConfigDict, variables: base.Variables
) -> base.Variables:
  """Picks what features and pictures come from.

  Args:
    config: Of a run without stages, or of one stage.
    variables: Its arrays.

  Returns:
    In `params` all networks of the system, those that did not learn too; in
    `frozen` what a later stage has of the stages before it.
  """
  names = _stages(config)
  has_masks = config.model.get("use_mask", False)
  left_out = LEFT_OUT[:-1] if has_masks else LEFT_OUT
  if not any(name in variables.frozen for name in names):
    params = _without(variables.params | variables.frozen, left_out)
    model_state = _without(variables.model_state, left_out)
    return base.Variables(params, model_state, {})
  frozen = {
    name: _without(tree, left_out) if name in names else tree
    for name, tree in variables.frozen.items()
  }
  return variables._replace(frozen=frozen)


def _stages(config):
  return base.STAGES.get(config.system, ())


def _without(tree, names):
  return {k: v for k, v in tree.items() if k not in names}
