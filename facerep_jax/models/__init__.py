"""Networks: linen modules only. Called, the trained models by name."""

import sys
import types


class _Callable(types.ModuleType):
  """A package that may be called, as `facerep_jax.models()` is by users."""

  def __call__(self) -> dict[str, str]:
    """Returns `facerep_jax.list_models()`."""
    from facerep_jax.inference import api

    return api.list_models()


sys.modules[__name__].__class__ = _Callable
