import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from facerep_jax import errors
from facerep_jax.convert import fabnet as convert
from facerep_jax.models import fabnet
from tests.oracles import waves

PHASES = (0.1, 0.9, 1.7)  # Target, source 1, source 2.


def _frames(batch, size, num_sources=2):
  target, *sources = (waves.images(batch, size, p) for p in PHASES)
  return target, np.stack(sources[:num_sources], axis=1)


def _shapes(size, width, embed_dim, batch=2):
  model = fabnet.FabNet(size, width, embed_dim)
  frame = jax.ShapeDtypeStruct((batch, size, size, 3), jnp.float32)
  sources = jax.ShapeDtypeStruct((batch, 2, size, size, 3), jnp.float32)
  init = functools.partial(model.init_with_output, train=True)
  return jax.eval_shape(init, jax.random.key(0), frame, sources)


def _small(size=64, width=4, embed_dim=16, **kwargs):
  """A net with weights by formula; that of the small golden file."""
  sizes = (size, width, embed_dim)
  zeros = jax.tree.map(lambda x: np.zeros(x.shape), _shapes(*sizes)[1])
  shapes = {k: v.shape for k, v in convert.to_torch(zeros).items()}
  variables = convert.from_torch(waves.torch_state(shapes))
  return fabnet.FabNet(*sizes, **kwargs), variables


def _published(shared, **kwargs):
  """The published net at width 4, and its numbers."""
  reference = np.load(shared / "golden" / "fabnet.npz")
  state = {
    name.removeprefix("param/"): reference[name].astype(np.float32)
    for name in reference.files
    if name.startswith("param/")
  }
  variables = convert.from_torch(state)
  return fabnet.FabNet(256, 4, 16, **kwargs), variables, reference


def _band_loss(params, batch_stats, model, target, sources):
  """Mean of the middle half of the losses of a batch, easiest first."""
  out, mutated = model.apply(
    {"params": params, "batch_stats": batch_stats},
    target,
    sources,
    train=True,
    mutable=["batch_stats"],
  )
  losses = jnp.mean(jnp.abs(out["image"] - target), axis=(1, 2, 3))
  num = losses.shape[0]
  band = jnp.sort(losses)[num // 4 : 3 * num // 4]
  return jnp.mean(band), (losses, mutated["batch_stats"])


_STEP = jax.jit(jax.value_and_grad(_band_loss, has_aux=True), static_argnums=2)


def _gradients(model, variables, target, sources):
  return _STEP(
    variables["params"], variables["batch_stats"], model, target, sources
  )


@functools.partial(jax.jit, static_argnames=("model", "method"))
def _evaluate(variables, model, *frames, method=None):
  return model.apply(variables, *frames, train=False, method=method)


@functools.partial(jax.jit, static_argnames=("model", "use_mask", "method"))
def _train(variables, model, *frames, **kwargs):
  return model.apply(
    variables, *frames, train=True, mutable=["batch_stats"], **kwargs
  )


def _check_evaluation(model, variables, target, sources, want, step):
  """Compares in torch's layouts: `warped` etc. are every `step` pixels."""
  got = _evaluate(variables, model, target, sources)
  codes = [got["target_code"], *got["source_codes"].swapaxes(0, 1)]
  flow, warped = (
    np.transpose(got[name][:, :, ::step, ::step], (1, 0, 4, 2, 3))
    for name in ("flow_ndc", "warped")
  )
  image = np.transpose(got["image"][:, ::step, ::step], (0, 3, 1, 2))
  masks = np.swapaxes(got["mask_logits"][:, :, ::step, ::step], 0, 1)
  pairs = {
    "embedding": np.stack(codes),
    "flow": flow,
    "mask_logit": masks,
    "warped": warped,
    "image": image,
  }
  for name, value in pairs.items():
    # Measured 4e-7 for the nets; the sampler scales it by up to 128 px.
    np.testing.assert_allclose(
      value, want[name], atol=1e-4, rtol=1e-4, err_msg=name
    )
  np.testing.assert_allclose(got["attention"].sum(1), 1, rtol=1e-6)


def _check_training(model, variables, target, sources, want):
  (loss, (losses, stats)), grads = _gradients(model, variables, target, sources)
  if "train/loss_percentile_25_75" in want:
    np.testing.assert_allclose(
      loss, want["train/loss_percentile_25_75"], rtol=1e-5
    )
  np.testing.assert_allclose(losses, want["train/per_example_loss"], rtol=1e-5)
  flat = convert.to_torch({"params": grads, "batch_stats": stats})
  names = [n for n in want.files if n.startswith("train/gradnorm/")]
  assert len(names) == len(jax.tree.leaves(grads))
  for name in names:
    norm = np.linalg.norm(flat[name.removeprefix("train/gradnorm/")])
    if want[name] > 1e-5:
      # Bilinear cells flip: float64 itself differs by 4e-3.
      np.testing.assert_allclose(norm, want[name], rtol=1e-2, err_msg=name)
    else:  # Biases under a normalisation: rounding noise.
      assert norm < 1e-5, name
  for name in want.files:
    if name.startswith("train/after/"):
      np.testing.assert_allclose(
        flat[name.removeprefix("train/after/")],
        want[name],
        rtol=1e-4,
        atol=1e-5,  # Float32 statistics of values about 1.
        err_msg=name,
      )


@pytest.mark.parametrize("align", [0, 1])
def test_evaluation_matches_torch(golden, align):
  model, variables = _small(align_corners=bool(align))
  reference = np.load(golden / "fabnet_small.npz")
  want = {
    name: reference[f"eval/{name}{suffix}"]
    for name, suffix in (
      ("embedding", ""),
      ("flow", ""),
      ("warped", f"_align{align}"),
      ("image", f"_align{align}"),
    )
  }
  want["mask_logit"] = reference["eval/mask_logit"][:, :, 0]
  _check_evaluation(model, variables, *_frames(4, 64), want, 4)


def test_training_matches_torch(golden):
  model, variables = _small()
  reference = np.load(golden / "fabnet_small.npz")
  _check_training(model, variables, *_frames(4, 64), reference)


@pytest.mark.parametrize("align", [0, 1])
def test_evaluation_matches_published(shared, align):
  model, variables, reference = _published(shared, align_corners=bool(align))
  sources_first = {"warped": (4, 0, 1, 2, 3), "mask_logit": (4, 0, 1, 2, 3)}
  want = {
    "embedding": reference["eval/embedding"],
    "flow": reference["eval/flow"],
    "warped": np.transpose(
      reference[f"eval/warped_align{align}"], sources_first["warped"]
    ),
    "image": reference[f"eval/image_align{align}"],
    "mask_logit": np.transpose(
      reference["eval/mask_logit"], sources_first["mask_logit"]
    )[:, :, 0],
  }
  _check_evaluation(model, variables, *_frames(4, 256), want, 8)


def test_training_matches_published(shared):
  model, variables, reference = _published(shared)
  target, sources = _frames(4, 256)
  _check_training(model, variables, target, sources, reference)


def test_parameter_count_at_published_size():
  out, variables = _shapes(256, 32, 256)
  counts = jax.tree.map(lambda x: x.size, variables["params"])
  assert sum(jax.tree.leaves(counts)) == 11_568_643
  assert set(counts) == {"encoder", "flow_decoder", "mask_decoder"}
  assert out["image"].shape == (2, 256, 256, 3)


@pytest.mark.parametrize("size, middle", [(32, 1), (64, 2), (128, 3), (512, 5)])
def test_other_sizes(size, middle):
  out, variables = _shapes(size, 8, 12)
  assert out["warped"].shape == (2, 2, size, size, 3)
  assert out["flow_ndc"].shape == (2, 2, size, size, 2)
  assert out["attention"].shape == (2, 2, size, size)
  assert out["source_codes"].shape == (2, 2, 12)
  assert all(x.dtype == jnp.float32 for x in jax.tree.leaves(out))
  for part in ("encoder", "flow_decoder"):
    kernels = [
      layer["kernel"].shape[-1]
      for layer in variables["params"][part].values()
      if "kernel" in layer
    ]
    assert kernels.count(64) == middle
    assert len(kernels) == middle + 4


def test_unequal_sizes_are_refused():
  for size in (16, 96):
    with pytest.raises(errors.InputError, match="power of two"):
      _shapes(size, 4, 8)
  model = fabnet.FabNet(32, 4, 8)
  with pytest.raises(errors.InputError, match=r"images01: expected \[N, 32"):
    model.init(
      jax.random.key(0), jnp.zeros((1, 64, 64, 3)), train=False, method="encode"
    )


def test_running_statistics_move_target_first():
  model, variables = _small(32, 2, 4)
  target, sources = _frames(2, 32)
  stats = variables["batch_stats"]
  for frames in (target, sources[:, 0], sources[:, 1]):
    state = {"params": variables["params"], "batch_stats": stats}
    _, mutated = _train(state, model, frames, method="encode")
    stats = stats | mutated["batch_stats"]
  _, mutated = _train(variables, model, target, sources)
  jax.tree.map(  # The same operations, differently compiled.
    lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6),
    mutated["batch_stats"]["encoder"],
    stats["encoder"],
  )


def test_single_source_does_without_mask():
  model, variables = _small(32, 2, 4)
  frames = _frames(2, 32, num_sources=1)
  # One program for both: each of two would round in its own way.
  (plain, plain_stats), (bare, bare_stats) = jax.jit(
    lambda: [
      _train(variables, model, *frames, use_mask=use) for use in (True, False)
    ]
  )()
  np.testing.assert_array_equal(bare["attention"], 1)
  np.testing.assert_array_equal(bare["mask_logits"], 0)
  np.testing.assert_allclose(bare["image"], plain["image"], rtol=1e-5)
  np.testing.assert_array_equal(bare["warped"][:, 0], bare["image"])
  old = variables["batch_stats"]["mask_decoder"]
  new = bare_stats["batch_stats"]["mask_decoder"]
  jax.tree.map(np.testing.assert_array_equal, new, old)
  moved = plain_stats["batch_stats"]["mask_decoder"]["norm0"]["mean"]
  assert np.abs(moved - old["norm0"]["mean"]).max() > 1e-3
  with pytest.raises(errors.InputError, match="use_mask"):
    _train(variables, model, *_frames(2, 32), use_mask=False)


def test_initialisation_without_mask_makes_its_parameters():
  model = fabnet.FabNet(32, 2, 4)
  target, sources = _frames(1, 32, num_sources=1)
  init = functools.partial(model.init, train=False, use_mask=False)
  variables = jax.eval_shape(init, jax.random.key(0), target, sources)
  assert "mask_decoder" in variables["params"]


@pytest.mark.many_devices
def test_gradients_do_not_depend_on_device_count():
  model, variables = _small(32, 2, 4)
  frames = _frames(8, 32, num_sources=1)
  mesh = Mesh(np.array(jax.devices()), ("data",))
  assert mesh.size == 8
  spread = jax.device_put(frames, NamedSharding(mesh, P("data")))
  one = _gradients(model, variables, *frames)
  eight = _gradients(model, variables, *spread)
  np.testing.assert_allclose(one[0][1][0], eight[0][1][0], rtol=1e-5)
  # Sums are reordered, and a bilinear cell may flip.
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-2, atol=1e-4),
    one[1],
    eight[1],
  )
  # One source: the mask has no effect, and exactly no gradient.
  assert all((g == 0).all() for g in jax.tree.leaves(one[1]["mask_decoder"]))
  assert np.abs(one[1]["flow_decoder"]["conv0"]["kernel"]).max() > 0


def test_jit_equals_eager():
  model, variables = _small(32, 2, 4)
  target = _frames(1, 32)[0]
  eager = model.apply(variables, target, train=False, method="encode")
  jitted = _evaluate(variables, model, target, method="encode")
  # Compilation reorders sums of values below one.
  np.testing.assert_allclose(eager, jitted, atol=1e-6)


def test_upsampling_kinds_differ():
  model, variables = _small(32, 2, 4)
  frames = _frames(1, 32, num_sources=1)
  other = fabnet.FabNet(32, 2, 4, upsample_align_corners=True)
  flows = [
    _evaluate(variables, net, *frames)["flow_ndc"] for net in (model, other)
  ]
  assert np.abs(flows[0] - flows[1]).max() > 1e-3


def test_bfloat16_keeps_outputs_float32():
  model, variables = _small(32, 2, 4, dtype=jnp.bfloat16)
  frames = _frames(1, 32, num_sources=1)
  out = _evaluate(variables, model, *frames)
  assert all(x.dtype == jnp.float32 for x in jax.tree.leaves(out))
  want = _evaluate(variables, fabnet.FabNet(32, 2, 4), *frames)
  # Eight bits through ten layers.
  np.testing.assert_allclose(out["flow_ndc"], want["flow_ndc"], atol=0.1)
  assert np.abs(out["flow_ndc"] - want["flow_ndc"]).max() > 0
