"""The config of `small_system`."""

from facerep_jax.runs import configuration


def get_config(preset="small"):
  config = configuration.base("tests.aot.small_system", preset)
  config.model = {"size_px": 8, "gathered": 0}
  config.batch_size = 8
  return config
