import pytest

from facerep_jax import errors
from facerep_jax.data import benchmark_set, build, dataset, extract, sources

BENCHMARK = sources.Source(sources.BENCHMARK)
FIXED = benchmark_set.settings(), benchmark_set.PLAN


@pytest.mark.parametrize(
  ("found", "settings", "plan"),
  [
    ([BENCHMARK], None, None),
    ([BENCHMARK], FIXED[0], build.Plan()),
    ([BENCHMARK], extract.Settings(), FIXED[1]),
    ([BENCHMARK, sources.Source("synthetic")], *FIXED),
  ],
)
def test_another_set_is_not_called_the_benchmark(
  tmp_path, found, settings, plan
):
  with pytest.raises(errors.InputError, match="is one fixed set"):
    dataset.make(found, str(tmp_path / "out"), settings, plan)
  assert not list(tmp_path.iterdir())
