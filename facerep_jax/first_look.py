"""What a run has learned, measured at its end on tracks it never saw."""

import json
import pathlib

import jax
import numpy as np
from PIL import Image

from facerep_jax import api, configuration, sharding
from facerep_jax.data import batches, decode, images, samples, tfrecord, tracks
from facerep_jax.evaluators import readout, weighted

# Enough for a first look; it should not take long beside the training.
_MAX_CHUNKS = 160
_FRAMES_PER_CHUNK = 8
_NUM_EXAMPLES = 16


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
    `yaw_readout`, where the tracks have pose labels: R2 and mean absolute error
    (degrees) of a linear read-out of yaw on people of the test split, from the
    trained features and from those of the same network with random weights.
  """
  model = api.load(workdir)
  summary = {"step": model.step, "test": held_out(model, data_path)}
  on_bad = model.config.data.on_bad_record
  read = {
    split: labelled_frames(data_path, split, on_bad_record=on_bad)
    for split in ("train", "test")
  }
  if all(len(part["yaw_rad"]) for part in read.values()):
    untrained = api.untrained(model.config)
    summary["yaw_readout"] = {
      "trained": yaw_readout(model, **read),
      "random_weights": yaw_readout(untrained, **read),
    }
    _write_examples(examples, read["test"])
  path = workdir / "summary.json"
  path.write_text(json.dumps(summary, indent=2) + "\n")
  return summary


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
  source = tracks.TrackSource(
    data_path, "test", on_bad_record=config.data.on_bad_record
  )
  drawn = samples.Samples(source, rule)
  step = sharding.jit_on_batch(system.eval_fn, model.mesh)
  count = model.mesh.devices.size
  totals = {}
  for batch in batches.eval_batches(
    drawn,
    batch_size=-(-api.BATCH_SIZE // count) * count,
    num_samples=drawn.epoch_size,
  ):
    batch.pop("record")
    sums = step(model.variables, sharding.put_batch(batch, model.mesh))
    for name, pair in jax.device_get(sums).items():
      totals[name] = totals.get(name, 0) + np.array(pair)
  values = {name: float(a / b) for name, (a, b) in totals.items() if b > 0}
  return values | {"num_samples": drawn.epoch_size}


def labelled_frames(
  data_path: str, split: str, *, on_bad_record: str = "error"
) -> dict[str, list]:
  """Reads frames with their yaw, a few of each chunk.

  Args:
    data_path: Face tracks.
    split: Which part.
    on_bad_record: "error", or "skip" to leave out what cannot be used.

  Returns:
    `image` (uint8 [H, W, 3]), `yaw_rad`, `person` and `name`, one entry per
    frame; empty lists where the tracks have no pose.
  """
  source = tracks.TrackSource(data_path, split, on_bad_record=on_bad_record)
  out = {"image": [], "yaw_rad": [], "person": [], "name": []}
  chosen = np.linspace(0, len(source) - 1, min(_MAX_CHUNKS, len(source)))
  for record in np.unique(chosen.astype(int)):
    try:
      rows = _labelled_rows(source.read(record))
    except (tfrecord.BadRecordError, images.ImageError) as error:
      if on_bad_record == "error":
        raise
      source.note_bad(record, error)
      continue
    for row in rows:
      for column, value in zip(out.values(), row):
        column.append(value)
  return out


def _labelled_rows(track):
  """Returns image, yaw, person and name of some frames."""
  yaw = track.labels.get("yaw_rad")
  if yaw is None:
    return []
  rows, count = [], len(track.frames)
  picks = np.linspace(0, count - 1, min(_FRAMES_PER_CHUNK, count))
  for t in np.unique(picks.astype(int)):
    name = f"{track.person}-{track.video}-{track.track}-{t:03d}"
    pixels = decode.decode(track.frames[t], name)
    rows.append((pixels, float(yaw[t]), track.person, name))
  return rows


def yaw_readout(
  model: api.Representation, train: dict[str, list], test: dict[str, list]
) -> dict[str, float]:
  """Reads yaw out of the features by ridge regression.

  Args:
    model: What makes the features.
    train: What `labelled_frames` read, to fit the read-out.
    test: Likewise, of other people, to measure it.

  Returns:
    `r2`, `mae_deg` and `num_frames` of the test.
  """
  features = [
    np.concatenate(list(model.embed(part["image"]).values()), axis=1)
    for part in (train, test)
  ]
  yaw = [np.degrees(part["yaw_rad"])[:, None] for part in (train, test)]
  found = readout.ridge(features[0], yaw[0], np.array(train["person"]))
  predicted = found.outputs(features[1])
  return {
    "r2": weighted.r2(predicted, yaw[1])(np.ones(len(yaw[1]))),
    "mae_deg": float(np.mean(np.abs(predicted - yaw[1]))),
    "num_frames": len(yaw[1]),
  }


def _write_examples(folder, read):
  """Writes some test frames, to try the embedding on."""
  folder.mkdir(exist_ok=True)
  chosen = np.linspace(0, len(read["image"]) - 1, _NUM_EXAMPLES).astype(int)
  for i in np.unique(chosen):
    Image.fromarray(read["image"][i]).save(folder / f"{read['name'][i]}.png")


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
  if "yaw_readout" in summary:
    for name, found in summary["yaw_readout"].items():
      lines.append(
        f"linear read-out of yaw, {name.replace('_', ' ')}: R2 "
        f"{found['r2']:.3f}, mean error {found['mae_deg']:.1f} deg"
      )
  return lines
