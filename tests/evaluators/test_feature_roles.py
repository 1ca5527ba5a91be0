import numpy as np

from facerep_jax.evaluators import feature_roles

CODES = ("albedo_code", "depth_code")


def test_features_are_joined_where_all_members_are_there():
  assert feature_roles.joined(("embedding",)) == {}
  assert feature_roles.joined(CODES) == {"raw": CODES}
  whole = (*CODES, "view", "light")
  assert feature_roles.joined(whole) == {"raw": CODES, "parts": whole}
  assert feature_roles.joined(whole[1:]) == {}


def test_tasks_are_about_features_that_are_there():
  assert feature_roles.main(("logits",)) == {}
  code = feature_roles.main(("embedding", "spatial"))
  assert code["pose"] == code["landmarks"] == "embedding"
  assert code["expression"] == code["action_units"] == "spatial"
  assert "verification" not in code
  # "parts" can be joined, so that it counts.
  first = feature_roles.main((*CODES, "view", "light"))
  assert first == {"pose": "view", "landmarks": "parts"}
  last = (*CODES, "view", "light", "fer", "verification")
  assert feature_roles.main(last)["verification"] == "verification"
  second = feature_roles.main((*last, "identity_wccn"))
  assert second == {
    task: names[0] for task, names in feature_roles.MAIN.items()
  }


def test_joined_features_stand_behind_the_others():
  found = {name: np.full((2, k + 1), k) for k, name in enumerate(CODES)}
  joined = feature_roles.with_joined(found)
  assert list(joined) == [*CODES, "raw"] and list(found) == list(CODES)
  np.testing.assert_array_equal(joined["raw"], [[0, 1, 1]] * 2)
