import jax
import jax.numpy as jnp
import numpy as np
import pytest

from facerep_jax import errors
from facerep_jax.faces import rendering
from facerep_jax.systems import (
  autoencoder,
  autoencoder_loss,
  autoencoder_model,
  autoencoder_reconstruct,
  autoencoder_settings,
  base,
)
from tests import tiny_face

KEY = jax.random.key(0)
IMAGES11 = np.random.default_rng(0).uniform(-1, 1, (4, 64, 64, 3))
IMAGES11 = IMAGES11.astype(np.float32)


def settings(**changes):
  weights = autoencoder_settings.Weights(**changes.pop("weights", {}))
  known = {"use_confidence": False, "perceptual": "none"}
  return autoencoder_settings.Settings(
    **tiny_face.MODEL | known | changes, weights=weights
  )


def make(**changes):
  return autoencoder_model.make(settings(**changes))


@pytest.fixture(scope="module")
def variables():
  system = autoencoder.make(
    dtype="float32",
    **tiny_face.MODEL | {"use_confidence": False, "perceptual": "none"},
  )
  return jax.jit(system.init)(KEY)


def test_the_chosen_frames_and_what_is_theirs():
  drawn = autoencoder_reconstruct.chosen_frames(2000, 3, 0.8, KEY)
  shares = [(drawn == k).mean() for k in range(3)]
  # 2000 draws: five deviations are 0.045.
  np.testing.assert_allclose(shares, [0.8, 0.1, 0.1], atol=0.045)
  always = autoencoder_reconstruct.chosen_frames(50, 3, 1.0, KEY)
  never = autoencoder_reconstruct.chosen_frames(50, 3, 0.0, KEY)
  assert not always.any() and never.all()
  codes = np.arange(12.0).reshape(6, 2)  # Two tracks of three frames.
  found = autoencoder_reconstruct.of_frames(codes, jnp.array([2, 0]), 3)
  np.testing.assert_array_equal(found, codes[[2, 3]])


def compiled(model, num_frames=1, pick=lambda found: found):
  """Compiles what `pick` takes of the result, and nothing else."""
  return jax.jit(
    lambda v, k: pick(
      autoencoder_reconstruct.for_training(model, v, IMAGES11, num_frames, k)
    )
  )


def reconstruct(model, variables, **options):
  return compiled(model, **options)(variables, KEY)


def evaluated(model, variables, pick):
  return jax.jit(
    lambda v: pick(autoencoder_reconstruct.for_evaluation(model, v, IMAGES11))
  )(variables)


def test_a_random_mirror_is_one_of_the_two_of_both(variables):
  both = reconstruct(make(mirror="both"), variables)
  one = reconstruct(make(mirror="random", weights={"mirror": 1.0}), variables)
  assert both.is_mirrored is None and len(both.images.colour) == 8
  assert len(one.images.colour) == 4
  turned = np.asarray(one.is_mirrored)
  assert turned.any() and not turned.all()  # Of this key.
  for n, is_mirrored in enumerate(turned):
    # Two programs: float32 rounding, and pixels at edges may change sides.
    a, b = one.images.colour[n], both.images.colour[2 * n + is_mirrored]
    assert (jnp.abs(a - b).max(-1) < 1e-3).mean() > 0.99
    other = both.images.colour[2 * n + (not is_mirrored)]
    assert (jnp.abs(a - other).max(-1) < 1e-3).mean() < 0.9


@pytest.mark.parametrize("weight", [0.0, 0.5, 1.0])
def test_mirrors_are_as_frequent_as_their_weight_says(variables, weight):
  model = make(mirror="random", weights={"mirror": weight})
  draw = compiled(model, pick=lambda found: found.is_mirrored)
  drawn = [
    draw(variables, jax.random.key(i)) for i in range(32 if weight else 1)
  ]
  share = np.mean(drawn)
  # 128 draws: three deviations are 0.13.
  assert share == pytest.approx(weight / (1 + weight), abs=0.13)
  assert weight or share == 0


def test_the_random_loss_is_that_of_both_on_average(variables):
  """Over the two possible draws of each image the losses average out."""
  weights = {"mirror": 1.0, "laplacian": 0.5}
  both = make(mirror="both", weights=weights)
  one = make(mirror="random", weights=weights)

  def parts(model, is_mirrored):
    found = autoencoder_model.predict(model, variables, IMAGES11)
    formation = model.settings.formation
    if is_mirrored is None:
      drawn = autoencoder_reconstruct._draw_both(formation, found)
    else:
      drawn = autoencoder_reconstruct._draw(formation, found, is_mirrored)
    # One mask for all: what is compared is the error of the same pixels.
    drawn = drawn._replace(mask=jnp.ones_like(drawn.mask))
    sums = autoencoder_loss.terms(model, variables, IMAGES11, drawn)
    return autoencoder_loss.weighted(
      model.settings.weights, {k: x.each() for k, x in sums.items()}
    )

  whole = jax.jit(lambda: parts(both, None))()
  side = jax.jit(lambda is_mirrored: parts(one, is_mirrored))
  sides = [side(jnp.full(4, on)) for on in (False, True)]
  # Two programs: float32 rounding, and pixels at edges may change sides.
  np.testing.assert_allclose(sum(sides), whole, rtol=2e-3)


def test_all_frames_of_a_track_have_one_face(variables):
  model = make(cross_frame="one", num_frames=2, first_share=1.0)
  found = reconstruct(
    model, variables, num_frames=2, pick=lambda found: found.prediction
  )
  codes = (found.albedo_code, found.depth_code)
  shared = [x[0::2] for x in codes]
  depth, albedo11 = jax.jit(
    lambda v: autoencoder_model.decode(model, v, *shared)
  )(variables)
  own = jax.jit(lambda v: autoencoder_model.predict(model, v, IMAGES11))(
    variables
  ).face
  for frame in (0, 1):
    # Two programs: float32 rounding only.
    np.testing.assert_allclose(found.face.depth[frame::2], depth, atol=1e-6)
    np.testing.assert_allclose(
      found.face.albedo11[frame::2], albedo11, atol=1e-5
    )
  np.testing.assert_allclose(found.face.view, own.view, atol=1e-6)


def test_evaluation_explains_each_image_by_its_own_face(variables):
  model = make(cross_frame="one", num_frames=2, mirror="random")
  depth, is_mirrored = evaluated(
    model, variables, lambda x: (x.prediction.face.depth, x.is_mirrored)
  )
  own = jax.jit(lambda v: autoencoder_model.predict(model, v, IMAGES11))(
    variables
  )
  np.testing.assert_allclose(depth, own.face.depth, atol=1e-6)
  assert is_mirrored is None  # Both, as the mirror has a weight.
  plain = make(weights={"mirror": 0.0})
  assert not evaluated(plain, variables, lambda x: x.is_mirrored).any()
  colour = jax.eval_shape(
    lambda v: (
      autoencoder_reconstruct.for_evaluation(plain, v, IMAGES11).images.colour
    ),
    variables,
  )
  assert len(colour) == 4


def test_one_network_may_see_light_and_view():
  system = autoencoder.make(
    dtype="float32",
    **tiny_face.MODEL
    | {
      "use_confidence": False,
      "perceptual": "none",
      "light_and_view": "joint",
      "decoder": "resize",
    },
  )
  known = jax.jit(system.init)(KEY)
  assert set(known.params) == {"depth", "albedo", autoencoder_settings.JOINT}
  found, _ = jax.jit(system.represent)(known, IMAGES11 / 2 + 0.5, KEY)
  assert found["light"].shape == (4, 4) and found["view"].shape == (4, 6)
  net = make(light_and_view="joint").nets[autoencoder_settings.JOINT]
  both = jax.jit(net.apply)(
    {"params": known.params[autoencoder_settings.JOINT]}, IMAGES11
  )
  parts = np.concatenate([found["light"], found["view"]], axis=1)
  # Compiled apart; images go from [-1, 1] to [0, 1] and back.
  np.testing.assert_allclose(parts, both, atol=1e-5)
  loss, grads = jax.jit(
    jax.value_and_grad(
      lambda p: system.loss_fn(
        p,
        {},
        {},
        {"frames": np.uint8(127 * IMAGES11 + 127)[:, None]},
        {"band_start": np.int32(0), "band_stop": np.int32(4)},
        KEY,
      )[0]
    )
  )(known.params)
  assert np.isfinite(loss)
  for name, tree in grads.items():
    assert max(jnp.abs(x).max() for x in jax.tree.leaves(tree)) > 1e-5, name


def test_what_has_no_weight_is_not_computed(variables):
  model = make(weights={"mirror": 0.0, "perceptual": 0.0})
  assert model.features is None
  found = reconstruct(model, variables)
  sums = autoencoder_loss.terms(model, variables, IMAGES11, found)
  assert set(sums) == {"photometric"}
  assert isinstance(found.prediction.face, rendering.Face)


@pytest.mark.parametrize(
  ("changes", "text"),
  [
    ({"mirror": "none"}, "mirror: expected one of both, random"),
    ({"decoder": "nearest"}, "decoder: expected one of transposed, resize"),
    ({"light_and_view": "one"}, "light_and_view: expected one of separate"),
    ({"cross_frame": "one"}, "cross_frame='one' takes the face of other"),
    ({"first_share": 1.5}, "first_share: expected a number from 0 to 1"),
    ({"view_tries": 0}, "view_tries: expected a whole number from 1"),
    ({"weights": {"laplacian": -1.0}}, "weights.laplacian: expected a n"),
  ],
)
def test_settings_that_cannot_work_are_refused(changes, text):
  with pytest.raises(errors.InputError, match=text):
    settings(**changes)


def test_published_parameters_are_named_as_before(variables):
  assert set(variables.params) == {"depth", "albedo", "light", "view"}
  assert isinstance(variables, base.Variables)
  assert "up1" in variables.params["depth"]["decoder"]
