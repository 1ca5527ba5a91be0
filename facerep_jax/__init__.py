"""Face representations from unlabelled video, in JAX."""

import importlib

__all__ = ["Representation", "list_models", "load"]


def __getattr__(name: str) -> object:
  """Imports the API on first use: commands without networks stay quick."""
  if name == "models":
    return importlib.import_module("facerep_jax.models")
  if name in __all__:
    from facerep_jax.inference import api

    return getattr(api, name)
  raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
