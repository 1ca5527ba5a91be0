"""What a run has learned, measured at its end on tracks it never saw."""

import pathlib

import jax
import numpy as np

from facerep_jax import sharding
from facerep_jax.data import batches, samples
from facerep_jax.evaluators import feature_roles
from facerep_jax.files import atomic, image_grid
from facerep_jax.inference import api
from facerep_jax.runs import configuration
from facerep_jax.tracks import track_source
from facerep_jax.training import summary_frames, summary_measures

_NUM_EXAMPLES = 16
_FILE = "summary.json"


def measure(
  workdir: pathlib.Path, data_path: str, examples: pathlib.Path
) -> dict[str, dict]:
  """Measures a trained run and writes summary.json and example frames.

  Args:
    workdir: Folder of the run.
    data_path: Its face tracks.
    examples: Folder for the example frames.

  Returns:
    `test`: means over the test split of what the system's `eval_fn` measures.
    What follows is of test frames, by what `look_measures` says of each; ends
    of 95 % bootstrap intervals over people beside it.
    `yaw_probe`, where the tracks have pose labels: of a linear probe of
    yaw, for the trained feature of pose and for all features of the same
    network with random weights. `identification`, where people have two
    recordings: of recognising them, for both.
    `viewpoint`, of systems that take faces apart, with pose labels: how their
    own yaw follows the true one. `people`, likewise with two recordings, and
    with random weights too: who would be known by the rebuilt face.
  """
  model = api.load(workdir)
  on_bad = model.config.data.on_bad_record
  read = {
    split: summary_frames.spread(data_path, split, on_bad_record=on_bad)
    for split in ("train", "test")
  }
  pairs = summary_frames.recordings(data_path, "test", on_bad_record=on_bad)
  summary = {"step": model.step, "test": held_out(model, data_path)}
  summary |= _measured(model, read, pairs)
  if "yaw_probe" in summary:
    _write_examples(examples, read["test"].labelled())
  atomic.write_json(workdir / _FILE, summary)
  return summary


def forget(workdir: pathlib.Path) -> None:
  """Deletes what `measure` wrote of earlier weights of a run."""
  (workdir / _FILE).unlink(missing_ok=True)


def _measured(model, read, pairs):
  """Returns what the labels and the recordings allow to measure."""
  has_yaw = all(part.is_labelled.any() for part in read.values())
  has_pairs = len(pairs) > 1
  out = {}
  if not (has_yaw or has_pairs):
    return out
  models = {"trained": model, "random_weights": model.untrained()}
  features = {
    name: {split: one.embed(part.images) for split, part in read.items()}
    for name, one in models.items()
  }
  if has_yaw:
    out |= _about_yaw(model, features, read)
  if has_pairs:
    out["identification"] = {
      name: summary_measures.identification(one, features[name]["train"], pairs)
      for name, one in models.items()
    }
    if _draws_faces(model):
      out["people"] = {
        name: summary_measures.people(one, pairs)
        for name, one in models.items()
      }
  return out


def _about_yaw(model, features, read):
  """Reads yaw out of features, and from where a run draws its faces."""
  parts = {split: part.labelled() for split, part in read.items()}
  features = {
    name: {
      split: {
        key: x[read[split].is_labelled]
        for key, x in values.items()
        if key not in feature_roles.REPEATED
      }
      for split, values in found.items()
    }
    for name, found in features.items()
  }
  out = {"yaw_probe": {}}
  for name, found in features.items():
    # Random weights may use all that they have: no one number of theirs
    # means pose.
    if name == "trained":
      found = {
        split: summary_measures.of_pose(feature_roles.with_joined(values))
        for split, values in found.items()
      }
    out["yaw_probe"][name] = summary_measures.yaw_probe(found, parts)
  if _draws_faces(model):
    view = features["trained"]["test"]["view"]
    own = view[:, 1] * np.radians(model.formation.max_angle_deg)
    test = parts["test"]
    out["viewpoint"] = summary_measures.viewpoint_of(
      own, test.yaw_rad, test.person
    )
  return out


def _draws_faces(model):
  """Says whether a run knows a space in which it turns faces."""
  faces = model.system.faces
  return faces is not None and faces.formation.kind != "flat"


def held_out(model: api.Representation, data_path: str) -> dict[str, float]:
  """Averages the system's evaluation over one draw of each test chunk.

  Args:
    model: A trained run.
    data_path: Its face tracks.

  Returns:
    Means by name, and `num_samples`.
  """
  config, system = model.config, model.system
  _, rule = configuration.sampling(
    config, num_frames=system.num_frames, size_px=system.size_px
  )
  source = track_source.TrackSource(
    data_path, "test", on_bad_record=config.data.on_bad_record
  )
  drawn = samples.Samples(source, rule)
  step = sharding.jit_on_batch(system.eval_fn, model.mesh)
  totals = {}
  for batch in batches.eval_batches(
    drawn,
    batch_size=sharding.round_up(api.BATCH_SIZE, model.mesh),
    num_samples=drawn.epoch_size,
  ):
    batch.pop("record")
    # Sums and no rows: not what `map_batches` joins.
    sums = step(model.variables, sharding.put_batch(batch, model.mesh))
    for name, pair in jax.device_get(sums).items():
      totals[name] = totals.get(name, 0) + np.array(pair)
  values = {name: float(a / b) for name, (a, b) in totals.items() if b > 0}
  return values | {"num_samples": drawn.epoch_size}


def _write_examples(folder, read):
  """Writes some test frames, to try the embedding on."""
  chosen = np.linspace(0, len(read.images) - 1, _NUM_EXAMPLES).astype(int)
  for i in np.unique(chosen):
    image_grid.save(folder / f"{read.name[i]}.png", read.images[i])


def report(summary: dict[str, dict]) -> list[str]:
  """Says in a few lines what `measure` found."""
  test = summary["test"]
  # One sample alone cannot be ranked.
  loss = f"{test['loss']:.4f}" if "loss" in test else "unknown"
  lines = [
    f"test tracks: loss {loss} (checkpoint of step "
    f"{summary['step']}, {test['num_samples']} samples)"
  ]
  if "loss_copy" in test:
    lines.append(f"  copying the source instead: {test['loss_copy']:.4f}")
  if "l1_mean_colour" in test:
    lines.append(
      f"  error of the reconstruction: {test['l1']:.4f}; of one mean colour "
      f"instead: {test['l1_mean_colour']:.4f}"
    )
  for name, found in summary.get("yaw_probe", {}).items():
    lines.append(
      f"linear probe of yaw, {name.replace('_', ' ')}: R2 "
      f"{_bracketed(found, 'r2', 3)}, mean error {found['mae_deg']:.1f} deg"
    )
  if "viewpoint" in summary:
    found = summary["viewpoint"]
    lines.append(
      f"viewpoint: yaw |r| {_bracketed(found, 'r', 2)}, slope "
      f"{_bracketed(found, 'slope', 2)}"
    )
  for name, found in summary.get("identification", {}).items():
    lines.append(
      f"people recognised in another recording, {name.replace('_', ' ')} "
      f"({found['feature']}): {_bracketed(found, 'rank1_percent', 1)} % "
      f"(chance {found['chance_percent']:.1f})"
    )
  if "people" in summary:
    lines.append(_people_line(**summary["people"]))
  return lines


def _bracketed(found, name, digits):
  """Writes a number and its interval, where it has one."""
  values = [found[name], found[f"{name}_low"], found[f"{name}_high"]]
  value, low, high = (
    "undefined" if x is None else f"{x:.{digits}f}" for x in values
  )
  return value if values[1] is None else f"{value} [{low}, {high}]"


def _people_line(trained, random_weights):
  return (
    f"people: {trained['rebuilt']:.0f} of {trained['num_people']} faces "
    "rebuilt from one recording are nearest to the same person's other one "
    f"(chance {trained['chance']:.0f}, random weights "
    f"{random_weights['rebuilt']:.0f}); to its picture: "
    f"{trained['to_picture']:.0f}; the pictures of the two: "
    f"{trained['of_pictures']:.0f}"
  )
