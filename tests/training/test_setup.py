import jax
import pytest

from facerep_jax import errors
from facerep_jax.runs import curriculum, stages
from facerep_jax.systems import base
from facerep_jax.training import setup
from tests import tiny_face


@pytest.mark.parametrize("batch_size", [1, 8])
def test_metrics_are_named_whatever_the_size_of_the_batch(batch_size):
  config = stages.config_of(tiny_face.staged(""), "diffusion")
  system = base.build(config)
  abstract = jax.eval_shape(system.init, jax.random.key(0))
  found = setup.metric_names(system, abstract, batch_size)
  assert found == ("loss", "loss_albedo", "loss_depth")


def test_the_curriculum_decides_which_ranks_train():
  state = curriculum.State(num_moves=1, lr_num_drops=2)
  rule = curriculum.Rule(low=0.0, high=0.5, step=0.1, lr_factor=0.5)
  found = setup.control_scalars(rule, state, 10)
  assert found == {"band_start": 1, "band_stop": 6, "lr_scale": 0.25}
  off = setup.control_scalars(curriculum.Rule(use=False), curriculum.State(), 1)
  assert (off["band_start"], off["band_stop"]) == (0, 1)
  with pytest.raises(errors.InputError, match="batch_size=1 is too small"):
    setup.control_scalars(curriculum.Rule(), curriculum.State(), 1)
