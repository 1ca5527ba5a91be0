import jax
import jax.numpy as jnp
import numpy as np

from facerep_jax.faces import rendering
from facerep_jax.ops import camera
from facerep_jax.systems import view_search

FORMATION = rendering.Formation(camera=camera.Camera(size_px=64))


@jax.jit
def drawn(face):
  shaded = rendering.shade(face, FORMATION)
  return rendering.render_face(
    face.depth, shaded.image11, face.view, FORMATION
  ).colour


@jax.jit
def find(face, images):
  """Searches with 16 tries; compiled once, as all scenes have five faces."""
  key = jax.random.key(0)
  return view_search.best_yaw(face, images, FORMATION, 16, key)


def scene(yaws):
  """A dome with dark eyes and a mouth, turned; and its pictures."""
  count, place = len(yaws), np.linspace(-1, 1, 64)
  x, y = np.meshgrid(place, place)
  depth = 0.95 + 0.1 * (x**2 + 0.2 * y**2)
  colour = np.full((64, 64, 3), 0.3)
  for cx, cy, size in ((-0.35, -0.2, 0.12), (0.35, -0.2, 0.12), (0, 0.5, 0.2)):
    colour[np.hypot((x - cx) / size, (y - cy) / 0.1) < 1] = -0.8
  colour[np.abs(x) > 0.8] = -0.5  # Hair.
  view = np.zeros((count, 6))
  view[:, 1] = yaws
  light = np.zeros((count, 4))
  face = rendering.Face(
    *(
      jnp.asarray(v, jnp.float32)
      for v in (
        np.broadcast_to(depth, (count, 64, 64)),
        np.broadcast_to(colour, (count, 64, 64, 3)),
        light,
        view,
      )
    )
  )
  return face, drawn(face)


def test_turns_far_from_the_guess_are_found():
  yaws = np.array([-0.45, -0.2, 0.0, 0.3, 0.45])
  face, images = scene(yaws)
  guess = face._replace(view=jnp.zeros_like(face.view))
  found = find(guess, images)
  # The tries lie 1 / 16 apart, somewhere in their parts.
  np.testing.assert_allclose(found, yaws, atol=0.1)


def test_a_face_that_fits_stays_as_it_is():
  yaws = np.array([-0.7, -0.1, 0.2, 0.4, 0.6])
  face, images = scene(yaws)
  # Pictures of half the side tell turns apart by about a part, 1 / 16.
  np.testing.assert_allclose(find(face, images), yaws, atol=0.0625)


def test_tries_stay_within_what_tanh_can_say():
  face, images = scene(np.zeros(5))
  far = face._replace(view=face.view.at[:, 1].set(0.9))
  assert jnp.abs(find(far, images)).max() <= 0.95


def test_no_gradient_flows_through_the_search():
  face, images = scene(np.full(5, 0.3))

  def total(depth):
    return view_search.best_yaw(
      face._replace(depth=depth), images, FORMATION, 2, jax.random.key(0)
    ).sum()

  assert not jnp.any(jax.jit(jax.grad(total))(face.depth))
