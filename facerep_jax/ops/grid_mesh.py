"""The triangles that join the pixels of a depth map to a surface."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

_BLOCK = 8  # Cells, along each side of a block.


@jax.tree_util.register_static
@dataclasses.dataclass(frozen=True)
class Grid:
  """The triangles of `grid_faces`, as a shape that programs know.

  What is at their corners is found by slices, and needs no lookup: on
  accelerators a lookup is slow, and its gradient slower. Its length is that of
  `grid_faces`.

  Attributes:
    height: Rows of vertices.
    width: Columns of vertices.
  """

  height: int
  width: int

  @property
  def num_vertices(self) -> int:
    """How many vertices there are."""
    return self.height * self.width

  def __len__(self) -> int:
    return 2 * (self.height - 1) * (self.width - 1)

  def corners(
    self, column: jax.Array
  ) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Returns what is at the corners of triangles.

    Args:
      column: [V, ...], of the vertices.

    Returns:
      Three arrays [F, ...]: `column[grid_faces(height, width)[:, k]]`.
    """
    rest = column.shape[1:]
    grid = column.reshape(self.height, self.width, *rest)
    here, right = grid[:-1, :-1], grid[:-1, 1:]
    below, across = grid[1:, :-1], grid[1:, 1:]
    pairs = ((here, right), (below, below), (right, across))
    return tuple(
      jnp.concatenate([x.reshape(-1, *rest) for x in pair]) for pair in pairs
    )

  def blocks(self, column: jax.Array, fill: float) -> jax.Array:
    """Collects triangles that lie near each other.

    Args:
      column: [F], of the triangles.
      fill: Where a block reaches beyond the grid.

    Returns:
      [M, 128], those of 8 x 8 cells in a row.
    """
    cells = column.reshape(2, self.height - 1, self.width - 1)
    rest = (-(self.height - 1) % _BLOCK, -(self.width - 1) % _BLOCK)
    cells = jnp.pad(
      cells, ((0, 0), (0, rest[0]), (0, rest[1])), constant_values=fill
    )
    _, rows, columns = cells.shape
    blocks = cells.reshape(2, rows // _BLOCK, _BLOCK, columns // _BLOCK, _BLOCK)
    blocks = blocks.transpose(1, 3, 0, 2, 4)
    return blocks.reshape(-1, 2 * _BLOCK * _BLOCK)


def grid_faces(height: int, width: int) -> np.ndarray:
  """Lists two triangles for every cell of a grid of vertices.

  Vertex (i, j) has the number i * width + j. All first triangles come before
  all second ones: (i, j), (i+1, j), (i, j+1) and (i, j+1), (i+1, j),
  (i+1, j+1).

  Source: Unsup3D, `get_face_idx`.

  Args:
    height: Rows of vertices.
    width: Columns of vertices.

  Returns:
    [2 (height - 1) (width - 1), 3] int32; host memory, as it is static.
  """
  index = np.arange(height * width, dtype=np.int32).reshape(height, width)
  here, right = index[:-1, :-1], index[:-1, 1:]
  below, across = index[1:, :-1], index[1:, 1:]
  first = np.stack([here, below, right], axis=-1)
  second = np.stack([right, below, across], axis=-1)
  return np.concatenate([first.reshape(-1, 3), second.reshape(-1, 3)])
