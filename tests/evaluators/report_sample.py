"""A made-up evaluation with every kind of detail, for tests."""

import numpy as np

from facerep_jax.evaluators import gallery

CLASSES = ("neutral", "happy", "sad", "surprise", "anger", "disgust", "fear")
_FEATURES = (
  ("fabnet: embedding", "run", 1.0),
  ("random weights: embedding", "random", 1.8),
  ("pixels (PCA)", "pixels", 1.5),
  ("HOG", "hog", 1.1),
  ("supervised", "supervised", 0.6),
  ("other: embedding", "compare", 1.05),
)


def score(value, unit="%", is_higher_better=False, half=0.05):
  return {
    "value": value,
    "low": value * (1 - half),
    "high": value * (1 + half),
    "unit": unit,
    "is_higher_better": is_higher_better,
  }


def task(name, scores, details=lambda rng, factor: {}):
  """`scores`: from a factor of error to the scores of an entry."""
  rng = np.random.default_rng(0)
  return {
    "task": name,
    "dataset": "synthetic",
    "split": "test",
    "crop": "as in training",
    "protocol": f"Linear linear probe for {name}.",
    "num_train": 1200,
    "num_test": 300,
    "num_people": 40,
    "entries": [
      {
        "feature": feature,
        "kind": kind,
        "dim": 256,
        "scores": scores(factor),
        "details": details(rng, factor),
      }
      for feature, kind, factor in _FEATURES
    ],
  }


def _landmarks(factor):
  return {
    "point_error": score(5.7123 * factor),
    "failures": score(3.1 * factor),
  }


def _points(rng, factor):
  return {"per_point": factor * rng.uniform(3, 9, 68)}


def _pose(factor):
  mean, angles = 6.2 * factor, (7.5, 5.1, 6.0)
  scores = {"mae_mean": score(mean, "deg")}
  for name, value in zip(("yaw", "pitch", "roll"), angles):
    scores[f"mae_{name}"] = score(value * factor, "deg")
  scores["r2_yaw"] = score(0.8 / factor, "", True)
  return scores


def _expression(factor):
  return {
    "accuracy": score(70 / factor, "%", True),
    "macro_f1": score(0.6 / factor, "", True),
  }


def _confusion(rng, factor):
  counts = rng.integers(0, 12, (7, 7)) + np.diag([60] * 7)
  return {"confusion": counts, "classes": CLASSES}


def _auc(factor):
  return {"auc": score(0.5 + 0.3 / factor, "", True, 0.02)}


def _per_class(rng, factor):
  values = 0.5 + 0.3 / factor + rng.uniform(-0.1, 0.1, 20)
  return {"per_class": {f"AU{i:02}": v for i, v in enumerate(values)}}


def _verification(factor):
  return {
    "accuracy": score(70 / factor, "%", True),
    "auc": score(0.75 / factor, "", True),
    "tar_at_far_0.01": score(0.2 / factor, "", True),
  }


def _roc(rng, factor):
  far = np.linspace(0, 1, 400)
  return {
    "roc": np.stack([far, far ** (0.3 * factor)], axis=1),
    "per_fold": 70 + rng.normal(size=10),
  }


def leakage():
  features = [
    "pixels (PCA)",
    "albedo",
    "light",
    "expression code",
    "supervised",
  ]
  factors = ["identity", "expression", "yaw", "light_direction"]
  rng = np.random.default_rng(1)
  values = {}
  for i, feature in enumerate(features):
    scaled = rng.uniform(0, 1, 4) if 0 < i < 4 else np.full(4, i / 4)
    values[feature] = {
      factor: {"value": v, "low": v - 0.03, "high": v + 0.03, "scaled": s}
      for factor, s, v in zip(factors, scaled, 0.2 + 0.7 * scaled)
    }
  return {
    "dataset": "synthetic",
    "split": "test",
    "num_train": 1200,
    "num_test": 300,
    "factors": factors,
    "features": features,
    "values": values,
    "floor": "pixels (PCA)",
    "ceiling": "supervised",
  }


def sample():
  tasks = [
    task("landmarks", _landmarks, _points),
    task("pose", _pose),
    task("expression", _expression, _confusion),
    task("action_units", _auc, _per_class),
    task("verification", _verification, _roc),
    task("reconstruction", lambda factor: {"l1": score(0.0412 * factor, "")}),
  ]
  tasks[3]["num_people"] = None
  tasks[4] |= {"split": "10 folds", "num_people": None}
  tasks[5]["entries"] = tasks[5]["entries"][:1]
  return {
    "format": 1,
    "run": "fabnet-demo",
    "step": 20000,
    "config": {"system": "fabnet", "preset": "demo"},
    "date": "2026-01-02",
    "device": "cpu",
    "compare": ["other"],
    "tasks": tasks,
    "leakage": leakage(),
  }


def pictures(count=4, side=64):
  """Grey noise with points on a circle; no faces."""
  rng = np.random.default_rng(2)
  angle = np.linspace(0, 2 * np.pi, 68, endpoint=False)
  circle = side / 2 + side / 3 * np.stack([np.cos(angle), np.sin(angle)], 1)
  made = []
  for i in range(count):
    image = rng.integers(90, 160, (side, side, 3), dtype=np.uint8)
    error = rng.normal(size=circle.shape)
    read = circle + error
    made.append(gallery.Picture(image, f"error {i}.5 %", circle, read))
  plain = [gallery.Picture(p.image, "neutral as happy") for p in made]
  return {0: {"best": made, "worst": made[::-1]}, 2: {"worst": plain}}
