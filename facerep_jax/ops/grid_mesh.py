"""The triangles that join the pixels of a depth map to a surface."""

import numpy as np


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
