"""Runs the tasks of linear probes on a labelled set, on all features alike."""

import dataclasses
import types
from typing import Any, NamedTuple

import numpy as np

from facerep_jax import cli, errors
from facerep_jax.evaluators import (
  action_units,
  attributes,
  base,
  expression,
  features,
  folds,
  gallery,
  landmarks,
  linear_probe,
  pose,
)

NUM_FOLDS = 5
_PICTURES = 6
# Of what fits to one feature share, kept for the next tasks.
_MOST_BYTES = 2 * 2**30


class Probe(NamedTuple):
  """How a label is read out of features.

  Attributes:
    module: What fits and measures it.
    labels: Those that it needs.
    protocol: How it is fitted, for the report.
  """

  module: types.ModuleType
  labels: tuple[str, ...]
  protocol: str


PROBES = {
  "landmarks": Probe(
    landmarks, ("landmarks_ndc",), "ridge to the crop's points"
  ),
  "pose": Probe(
    pose, ("yaw_rad", "pitch_rad", "roll_rad"), "ridge to yaw, pitch and roll"
  ),
  "expression": Probe(expression, ("expression",), "multinomial logistic"),
  "expression_multilabel": Probe(
    attributes, ("expression",), "a logistic a class"
  ),
  "attributes": Probe(attributes, ("attributes",), "a logistic a column"),
  "action_units": Probe(
    action_units, ("action_units",), "ridge to activations"
  ),
}


@dataclasses.dataclass(frozen=True)
class Feature:
  """A feature of all images of a set.

  Attributes:
    name: For the report.
    kind: One of `results.KINDS`.
    values: [N, D] float32; None for pixels, whose components depend on the
      training images.
    has_mirror: Whether mirror images are in it already.
  """

  name: str
  kind: str
  values: np.ndarray | None
  has_mirror: bool = False


@dataclasses.dataclass(frozen=True)
class Study:
  """A labelled set with its divisions and features.

  Attributes:
    crops: Images of every part.
    divisions: Training and test rows, [K] int each: one pair where the set
      has a split of its own, else one for each fold of people.
    split: What the report calls them.
    table: The features; the run's own first.
    width: Components that pixels are reduced to.
    main: The feature that a task is about, by task.
  """

  crops: features.Crops
  divisions: list[tuple[np.ndarray, np.ndarray]]
  split: str
  table: list[Feature]
  width: int
  main: dict[str, str] = dataclasses.field(default_factory=dict)
  _values: dict = dataclasses.field(init=False, default_factory=dict)
  _rows: dict = dataclasses.field(init=False, default_factory=dict)

  @property
  def test(self) -> np.ndarray:
    """Rows that are measured, each once, [M] int."""
    return np.concatenate([test for _, test in self.divisions])

  def values(
    self, feature: Feature, number: int
  ) -> tuple[np.ndarray, features.Pixels | None]:
    """Returns a feature as linear probes of one division see it.

    Args:
      feature: Of the table.
      number: Of the division.

    Returns:
      [N, D] float, of all images; and what maps pixels to them, where they are
      components of the division's training images.
    """
    if feature.values is not None:
      return feature.values, None
    if number not in self._values:
      train, _ = self.divisions[number]
      pixels = features.Pixels.fit(self.crops.pixels[train], self.width)
      self._values[number] = pixels(self.crops.pixels), pixels
    return self._values[number]

  def rows(self, feature: Feature, number: int) -> linear_probe.Rows:
    """Returns a feature of the training rows of one division.

    What all fits to them share is kept for the tasks to come, as far as there
    is room.

    Args:
      feature: Of the table.
      number: Of the division.
    """
    key = feature.name, number
    if key in self._rows:
      return self._rows[key]
    train, _ = self.divisions[number]
    values, _ = self.values(feature, number)
    made = linear_probe.Rows(values[train], self.crops.group[train])
    used = sum(one.most_bytes for one in self._rows.values())
    if used + made.most_bytes <= _MOST_BYTES:
      self._rows[key] = made
    return made

  def known(
    self, feature: Feature, number: int, labels: dict[str, np.ndarray]
  ) -> base.Part:
    """Returns `rows` with their labels, what linear probes are fitted to.

    Args:
      feature: Of the table.
      number: Of the division.
      labels: Arrays [N, ...] by name, of all images.
    """
    train, _ = self.divisions[number]
    rows = self.rows(feature, number)
    chosen = {name: value[train] for name, value in labels.items()}
    return base.Part(rows, chosen, rows.group)


def divide(
  parts: dict[str, features.Crops], num_folds: int = 0
) -> tuple[features.Crops, list[tuple[np.ndarray, np.ndarray]], str]:
  """Decides what a set's linear probes are trained and measured on.

  Args:
    parts: Crops by split: "test" with "train", "validation" or both, which are
      joined; or other parts, which are joined and divided into folds.
    num_folds: Folds of people instead of the set's own split; 0: only where it
      has none, `NUM_FOLDS` then.

  Returns:
    All crops, the divisions and their name, as in `Study`.

  Raises:
    InputError: There are fewer people than folds.
  """
  crops = features.join(list(parts.values()))
  which = np.repeat(list(parts), [len(part) for part in parts.values()])
  rows = np.arange(len(crops))
  if "test" in parts and len(parts) > 1 and not num_folds:
    return crops, [(rows[which != "test"], rows[which == "test"])], "test"
  num_folds = num_folds or NUM_FOLDS
  fold = folds.by_group(crops.group, num_folds)
  divisions = [(rows[fold != k], rows[fold == k]) for k in range(num_folds)]
  return crops, divisions, f"{num_folds} folds"


def run(
  study: Study, task: str, fitted: dict[str, linear_probe.LinearProbe]
) -> tuple[
  dict[str, Any], dict[str, list], dict[str, linear_probe.LinearProbe]
]:
  """Runs one task on all features of a study.

  Args:
    study: Images and features.
    task: Key of `PROBES`.
    fitted: Linear probes of an earlier evaluation by feature, as
      `saved_probes.pick` gives them; where empty, they are fitted here.

  Returns:
    The task's entry of results.json, its pictures as `report.write` takes
    them, and the linear probes that were fitted to a single division, by
    feature.

  Raises:
    InputError: The labels cannot be used, or linear probes do not fit.
  """
  module = PROBES[task].module
  crops, test = study.crops, study.test
  labels = _labels_of(task, crops)
  tested = {name: value[test] for name, value in labels.items()}
  classes = classes_of(study, task)
  names = {"names": classes} if classes else {}
  entries, made, pictures = [], {}, {}
  table = in_order(study.table, study.main.get(task))
  table = [x for x in table if not fitted or x.name in fitted]
  if not table:
    raise errors.InputError(
      f"--probes: holds none for {task} of this run's features."
    )
  with cli.Progress(len(table), "features", f"of {task}") as bar:
    for feature in table:
      outputs, made[feature.name], width = _outputs(
        study, feature, task, labels, fitted.get(feature.name)
      )
      measured = module.measure(outputs, tested, crops.group[test], **names)
      entries.append(entry(feature, width, measured))
      if not pictures:
        pictures = _pictures(task, crops, test, outputs, measured.quality)
      bar.advance(1, len(test))
  result = _result(study, task, entries, is_fitted_here=not fitted)
  is_kept = len(study.divisions) == 1 and not fitted
  return result, pictures, made if is_kept else {}


def in_order(table: list[Feature], main: str | None) -> list[Feature]:
  """Puts the feature called `main` first, if there is one."""
  return sorted(table, key=lambda feature: feature.name != main)


def _result(study, task, entries, is_fitted_here):
  """Returns a task's entry of results.json."""
  protocol = f"linear probe of standardised features: {PROBES[task].protocol}"
  if not is_fitted_here:
    protocol += "; fitted elsewhere"
  source, test = study.crops.source, study.test
  return {
    "task": task,
    "dataset": source.name,
    "split": study.split,
    "crop": source.cut,
    "protocol": protocol,
    "num_train": len(study.divisions[0][0]) if is_fitted_here else 0,
    "num_test": len(test),
    "num_people": num_people(study.crops, test),
    "entries": entries,
  }


def entry(
  feature: Feature, width: int, measured: base.Measured
) -> dict[str, Any]:
  """Returns a feature's entry of a task in results.json."""
  return {
    "feature": feature.name,
    "kind": feature.kind,
    "dim": int(width),
    "scores": measured.scores,
    "details": measured.details,
  }


def classes_of(study: Study, task: str) -> list[str]:
  """Returns the names of what a task's outputs stand for, where they have."""
  label = PROBES[task].labels[0]
  if task == "landmarks" or label not in study.crops.source.classes:
    return []
  return list(study.crops.source.classes[label])


def _labels_of(task, crops):
  """Returns a task's labels under the names that its module knows."""
  labels = dict(crops.labels)
  if task == "expression_multilabel":
    labels["attributes"] = attributes.expression_multilabel(
      labels["expression"], len(crops.source.classes["expression"])
    )
  return labels


def part_of(
  labels: dict[str, np.ndarray],
  values: np.ndarray,
  group: np.ndarray,
  rows: np.ndarray,
) -> base.Part:
  """Returns some rows of labelled features."""
  chosen = {name: value[rows] for name, value in labels.items()}
  return base.Part(values[rows], chosen, group[rows])


def _outputs(study, feature, task, labels, fitted):
  """Returns outputs of the test rows, the last linear probe, and the width."""
  crops, parts, module = study.crops, [], PROBES[task].module
  # A fold may lack the last class.
  is_one_class = task == "expression"
  counts = {"num_classes": len(classes_of(study, task))} if is_one_class else {}
  for number, (_, test) in enumerate(study.divisions):
    pixels, found = None, fitted
    if fitted is None:
      values, pixels = study.values(feature, number)
      found = module.fit(study.known(feature, number, labels), **counts)
    elif feature.values is None:
      values = features.flat(crops.pixels)
    else:
      values = feature.values
    parts.append(found.outputs(values[test]))
    if pixels is not None:
      found = pixels.before(found)
  return np.concatenate(parts), found, values.shape[1]


def num_people(crops: features.Crops, rows: np.ndarray) -> int | None:
  """Counts the people of some rows; None where they are unknown."""
  if crops.source.group is None:
    return None
  return len(np.unique(crops.group[rows]))


def _pictures(task, crops, test, outputs, quality):
  """Returns the best and the worst test images with what was read."""
  order = np.argsort(quality, kind="stable")
  chosen = {"best": order[::-1][:_PICTURES], "worst": order[:_PICTURES]}
  return {
    which: [_picture(task, crops, test[k], outputs[k]) for k in ranks]
    for which, ranks in chosen.items()
  }


def _picture(task, crops, row, output):
  image, labels = crops.pixels[row], crops.labels
  points = None, None
  caption = crops.source.names[row]
  if task == "landmarks":
    unit = (output.reshape(-1, 2) + 1) / 2
    points = labels["landmarks_px"][row], unit * image.shape[0] - 0.5
  elif task == "pose":
    true = [labels[f"{name}_rad"][row] for name in ("yaw", "pitch", "roll")]
    texts = [
      " ".join(f"{angle:.0f}" for angle in np.degrees(angles))
      for angles in (true, output)
    ]
    caption += f": {texts[0]} deg, read {texts[1]}"
  elif task.startswith("expression"):
    names = crops.source.classes["expression"]
    true = names[labels["expression"][row]]
    caption += f": {true}, read {names[int(np.argmax(output))]}"
  return gallery.Picture(image, caption, *points)
