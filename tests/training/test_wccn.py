import numpy as np
import pytest

from facerep_jax import errors
from facerep_jax.training import wccn

SIZE = 8


def people(num_people=200, num_frames=5, seed=0):
  """Codes of people whose frames differ mostly in two directions."""
  rng = np.random.default_rng(seed)
  spread = np.where(np.arange(SIZE) < 2, 5.0, 0.3)
  turned = np.linalg.qr(np.random.default_rng(9).normal(size=(SIZE, SIZE)))[0]
  who = rng.normal(size=(num_people, SIZE))
  off = spread * rng.normal(size=(num_people, num_frames, SIZE))
  codes = 7 + (who[:, None] + off) @ turned
  return codes.reshape(-1, SIZE), np.repeat(np.arange(num_people), num_frames)


def within(codes, person):
  """The covariance within people, in loops."""
  total, free = np.zeros((SIZE, SIZE)), 0
  for name in set(person.tolist()):
    own = codes[person == name]
    for row in own:
      away = row - own.mean(axis=0)
      total += np.outer(away, away)
    free += len(own) - 1
  return total / free


def test_the_map_makes_the_shrunk_covariance_one():
  codes, person = people()
  found = wccn.fit(codes, person)
  np.testing.assert_allclose(found["mean"], codes.mean(axis=0), rtol=1e-6)
  covariance = within(codes, person)
  part = wccn.SHRINKAGE
  shrunk = (1 - part) * covariance
  shrunk += part * np.trace(covariance) / SIZE * np.eye(SIZE)
  made = found["map"].astype(np.float64)
  # Float32 numbers.
  np.testing.assert_allclose(made.T @ shrunk @ made, np.eye(SIZE), atol=1e-5)


def test_people_are_told_apart_better():
  codes, person = people()
  found = wccn.fit(codes, person)
  new, who = people(seed=1)
  mapped = (new - found["mean"]) @ found["map"]

  def right(x):
    """Of first frames, those nearest to another frame of their own person."""
    x = x / np.linalg.norm(x, axis=1, keepdims=True)
    first, second = x[0::5], x[1::5]
    return np.mean((first @ second.T).argmax(axis=1) == np.arange(len(first)))

  assert right(mapped) > 1.5 * right(new - found["mean"])


def test_order_and_names_of_people_do_not_matter():
  codes, person = people(20)
  order = np.random.default_rng(0).permutation(len(codes))
  names = np.array([f"p{k}" for k in person])
  one = wccn.fit(codes, person)
  other = wccn.fit(codes[order], names[order])
  for name in one:
    np.testing.assert_allclose(one[name], other[name], rtol=1e-5, atol=1e-6)


def test_a_number_that_never_changes_does_no_harm():
  codes, person = people(20)
  codes[:, 1] = 0
  found = wccn.fit(codes, person)
  assert np.isfinite(found["map"]).all()


def test_people_with_one_frame_are_refused():
  with pytest.raises(errors.InputError, match=r"wccn: expected people"):
    wccn.fit(np.eye(SIZE), np.arange(SIZE))
