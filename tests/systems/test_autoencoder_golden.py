"""One pass of stage 1 against the published implementation's."""

import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from facerep_jax.convert import unsup3d, vgg16
from facerep_jax.faces import rendering
from facerep_jax.models import vgg
from facerep_jax.ops import shading
from facerep_jax.systems import (
  autoencoder_loss,
  autoencoder_model,
  autoencoder_settings,
  base,
  perceptual,
)
from tests.oracles import waves

_PREFIX = "64/param/"


@pytest.fixture(scope="module")
def ours_and_theirs(shared):
  theirs = np.load(shared / "golden" / "autoencoder_step.npz")
  nets = np.load(shared / "golden" / "autoencoder_nets.npz")
  params = unsup3d.from_torch(
    {
      name.removeprefix(_PREFIX).replace("/", "."): nets[name]
      for name in nets.files
      if name.startswith(_PREFIX)
    }
  )
  state = {
    name.removeprefix("vgg/"): theirs[name]
    for name in theirs.files
    if name.startswith("vgg/")
  }
  net = vgg.Vgg16Features(vgg16.widths(state))
  features = perceptual.Features(
    init=None,
    apply=lambda params, x: net.apply({"params": params}, x),
    read=None,
    note="",
  )
  # Two frames of one track: they share the light of the first.
  settings = autoencoder_settings.Settings(
    width=16,
    code_dim=16,
    vector_width=16,
    hidden_dim=128,
    confidence_width=16,
    confidence_code_dim=16,
    num_frames=2,
    light_per="track",
  )
  model = autoencoder_model.make(settings)._replace(features=features)
  frozen = {"features": vgg16.from_torch(state)}
  images11 = jnp.asarray(2 * waves.images(2, 64, 0.3) - 1)

  def loss(params):
    variables = base.Variables(params, {}, frozen)
    return autoencoder_loss.of_images(
      model, variables, images11, 2, (0, 2), jax.random.key(0)
    )

  step = jax.jit(jax.value_and_grad(loss, has_aux=True))
  (total, (terms, reconstructed)), grads = jax.device_get(step(params))
  both = rendering.with_mirror(reconstructed.prediction.face)
  ours = types.SimpleNamespace(
    loss=total, terms=terms, reconstructed=reconstructed, grads=grads, both=both
  )
  return ours, theirs


def in_their_order(rows):
  """Images first and then mirrors."""
  return np.concatenate(rendering.unpair(np.asarray(rows)))


def nchw(rows):
  """Likewise, and colours before rows and columns."""
  return in_their_order(rows).transpose(0, 3, 1, 2)


def test_canonical_maps(ours_and_theirs):
  ours, theirs = ours_and_theirs
  both, canonical = ours.both, ours.reconstructed.canonical
  pairs = {
    "canon_depth": in_their_order(both.depth),
    "canon_albedo": nchw(both.albedo11[:, ::2, ::2]),
    "canon_im": nchw(canonical.image11[:, ::2, ::2]),
  }
  for name, got in pairs.items():
    # Float32 through some thirty layers.
    np.testing.assert_allclose(got, theirs[name], atol=1e-4, err_msg=name)
  # Normals divide by lengths of about 3e-5.
  normals = in_their_order(canonical.normals[:, ::2, ::2])
  np.testing.assert_allclose(normals, theirs["canon_normal"], atol=5e-4)


def test_light_and_view(ours_and_theirs):
  ours, theirs = ours_and_theirs
  light = shading.light_from_vector(ours.both.light)
  for name, got in (
    ("light_a", light.ambient[:, None]),
    ("light_b", light.diffuse[:, None]),
    ("light_d", light.direction),
  ):
    np.testing.assert_allclose(in_their_order(got), theirs[name], rtol=1e-5)
  diffuse = ours.reconstructed.canonical.shading - light.ambient[:, None, None]
  diffuse = diffuse / light.diffuse[:, None, None]
  np.testing.assert_allclose(
    in_their_order(diffuse)[:, None, ::2, ::2],
    theirs["shading_diffuse"],
    atol=5e-4,
  )
  # Theirs in radians and scene units; no shift along the optical axis.
  scale = np.array([[np.pi / 3] * 3 + [0.1, 0.1, 0.0]])
  got = in_their_order(ours.both.view) * scale
  np.testing.assert_allclose(got, theirs["view"], rtol=1e-5, atol=1e-7)


def test_pictures(ours_and_theirs):
  ours, theirs = ours_and_theirs
  images, mask = ours.reconstructed.images, ours.reconstructed.mask
  assert (images.num_dropped == 0).all()
  theirs_mask = np.unpackbits(theirs["mask"]).reshape(4, 64, 64)
  # A few pixels whose centre lies on an edge differ between rasterisers.
  assert (mask != theirs_mask[:2]).mean() < 1e-3
  masked = images.colour * np.repeat(mask, 2, axis=0)[..., None]
  off = np.abs(nchw(masked[:, ::2, ::2]) - theirs["recon_im"])
  assert (off > 1e-3).mean() < 1e-3
  assert np.quantile(off, 0.99) < 1e-4
  off = np.abs(
    in_their_order(images.depth[:, ::2, ::2]) - theirs["recon_depth"]
  )
  assert (off > 1e-4).mean() < 1e-3


def test_losses(ours_and_theirs):
  ours, theirs = ours_and_theirs
  for name, key in (
    ("photometric", "loss_l1"),
    ("photometric_mirror", "loss_l1_flip"),
    ("perceptual", "loss_perc"),
    ("perceptual_mirror", "loss_perc_flip"),
  ):
    # The pixels that differ are some in ten thousand.
    np.testing.assert_allclose(
      ours.terms[name], theirs[key], atol=1e-3, err_msg=name
    )
  np.testing.assert_allclose(ours.loss, theirs["loss_recon"], atol=1e-3)


def test_gradients(ours_and_theirs):
  ours, theirs = ours_and_theirs
  # Untrained depth is noise: nearly every pixel lies on a steep triangle, where
  # the few that differ weigh most, in the view by far.
  for name, key, rtol in (
    ("albedo", "netA", 0.01),
    ("light", "netL", 0.01),
    ("confidence", "netC", 0.01),
    ("depth", "netD", 0.05),
    ("view", "netV", 0.15),
  ):
    square = sum(
      np.sum(np.square(x)) for x in jax.tree.leaves(ours.grads[name])
    )
    np.testing.assert_allclose(
      np.sqrt(square), theirs[f"gradnorm/{key}"], rtol=rtol, err_msg=name
    )
