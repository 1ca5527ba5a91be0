"""Initial values: uniform, of a whole network by one small program."""

import contextlib
import contextvars
import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

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


_draws: contextvars.ContextVar[list[_Draw] | None] = contextvars.ContextVar(
  "draws", default=None
)


@functools.partial(jax.jit, static_argnames=("shape", "bound"))
def _drawn(key, shape, bound):
  return _draw([_Draw(jnp.zeros(shape), key, bound)])[0]


def uniform(key: jax.Array, shape: tuple[int, ...], bound: float) -> jax.Array:
  """Draws float32 initial values within the bound.

  Within `drawn_together` what it returns is zero, and stands in for values that
  are drawn later. flax asks for the shape of each value whenever a network is
  traced, so it is compiled apart, and remembered.

  Args:
    key: Typed key.
    shape: Shape of the values.
    bound: They lie between minus and plus this.

  Returns:
    float32 of that shape.
  """
  draws = _draws.get()
  if draws is None:
    return _drawn(key, shape, bound)
  draws.append(_Draw(jnp.zeros(shape), key, bound))
  return draws[-1].stand_in


def drawn_together(init: Callable[..., Any]) -> Callable[..., Any]:
  """Lets a function draw all its initial values by one program.

  XLA compiles the generator anew wherever it stands, most of a second each on
  a CPU; a network has hundreds of parameters.

  Args:
    init: Returns a pytree, in which each result of `uniform` is as it was
      returned; what it computes of the values is lost.

  Returns:
    A function that returns what `init` alone would.
  """

  @functools.wraps(init)
  def together(*args, **kwargs):
    if _draws.get() is not None:  # What calls it draws for both.
      return init(*args, **kwargs)
    with _collected() as draws:
      out = init(*args, **kwargs)
    if not draws:
      return out
    values = dict(zip((id(x.stand_in) for x in draws), _draw(draws)))
    out = jax.tree.map(lambda x: values.pop(id(x), x), out)
    if values:
      raise AssertionError(f"{len(values)} initial values were lost or changed")
    return out

  return together


@contextlib.contextmanager
def _collected():
  token = _draws.set([])
  try:
    yield _draws.get()
  finally:
    _draws.reset(token)


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
