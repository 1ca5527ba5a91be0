"""Initial values of parameters: those of a network by one small program."""

import contextlib
import contextvars
import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax.core import tracers

_CHUNK = 4096  # Values that are drawn at a time.


@dataclasses.dataclass(frozen=True)
class _Draw:
  """Values that are still to be drawn, and what stands in for them."""

  stand_in: jax.Array
  key: jax.Array
  bound: float

  @property
  def num_chunks(self) -> int:
    return -(-self.stand_in.size // _CHUNK)


class _Plan(list):
  """Draws of one function, as it is traced by one transformation."""

  def __init__(self):
    super().__init__()
    self.trace = tracers.current_trace()


_plan: contextvars.ContextVar[_Plan | None] = contextvars.ContextVar(
  "plan", default=None
)


@functools.partial(jax.jit, static_argnames=("shape", "bound"))
def _drawn(key, shape, bound):
  return _draw([_Draw(jnp.zeros(shape), key, bound)])[0]


def uniform(key: jax.Array, shape: tuple[int, ...], bound: float) -> jax.Array:
  """Draws float32 initial values within the bound.

  Within `drawn_together` what it returns is zero, and stands in for values that
  are drawn later.

  Args:
    key: Typed key.
    shape: Shape of the values.
    bound: They lie between minus and plus this.

  Returns:
    float32 of that shape.
  """
  plan = _plan.get()
  if plan is None or plan.trace != tracers.current_trace():
    return _drawn(key, shape, bound)
  plan.append(_Draw(jnp.zeros(shape), key, bound))
  return plan[-1].stand_in


def drawn_together(init: Callable[..., Any]) -> Callable[..., Any]:
  """Lets a function draw all its initial values by one program.

  XLA compiles the generator anew wherever it stands, most of a second each on
  a CPU; a network has hundreds of parameters.

  Args:
    init: Returns a pytree, in which each result of `uniform` is as it was
      returned; what it computes of the values is lost.

  Returns:
    A function that returns what `init` alone would. It raises `AssertionError`
    where a value was lost or changed.
  """

  @functools.wraps(init)
  def together(*args, **kwargs):
    with _planned() as plan:
      out = init(*args, **kwargs)
    if not plan:
      return out
    values = dict(zip((id(x.stand_in) for x in plan), _draw(plan)))
    out = jax.tree.map(lambda x: values.pop(id(x), x), out)
    if values:
      raise AssertionError(f"{len(values)} initial values were lost or changed")
    return out

  return together


@contextlib.contextmanager
def _planned():
  token = _plan.set(_Plan())
  try:
    yield _plan.get()
  finally:
    _plan.reset(token)


def _draw(draws):
  """Draws the values in chunks of one size, all by the same loop."""
  counts = [x.num_chunks for x in draws]
  keys = jnp.stack([x.key for x in draws])
  owner = np.repeat(np.arange(len(draws), dtype=np.int32), counts)
  number = np.concatenate([np.arange(n, dtype=np.int32) for n in counts])
  bounds = np.array([x.bound for x in draws], np.float32)[owner]

  def chunk(inputs):
    key, number, bound = inputs
    key = jax.random.fold_in(key, number)
    return jax.random.uniform(key, (_CHUNK,), jnp.float32, -bound, bound)

  chunks = jax.lax.map(chunk, (keys[owner], jnp.array(number), bounds))
  out, begin = [], 0
  for draw, count in zip(draws, counts):
    part = chunks[begin : begin + count].reshape(-1)[: draw.stand_in.size]
    out.append(part.reshape(draw.stand_in.shape))
    begin += count
  return out
