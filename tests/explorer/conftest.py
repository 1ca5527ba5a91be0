import pytest

from facerep_jax.explorer import engine as engines
from tests import made_up_faces, made_up_models


@pytest.fixture(scope="package", autouse=True)
def small_pictures():
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(engines, "PICTURE_PX", 64)
    yield


@pytest.fixture(scope="package")
def latentface():
  """A made-up model with both stages."""
  return made_up_faces.with_neutral(made_up_faces.representation())


@pytest.fixture(scope="package")
def fabnet():
  return made_up_models.representation("fabnet")
