"""Other programs that find and read faces in videos, one a process.

PYTHON face_tools.py TOOL MOST VIDEO [VIDEO ...]

PYTHON is that of an environment with the tool and OpenCV: nothing else of this
package is imported, and nothing is fetched. At most MOST frames are read, in
all. It prints a line of JSON.
"""

import contextlib
import importlib.metadata
import itertools
import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

_BATCH = 8  # Frames at a time, where the tool takes several.
_WARM_UP = 2  # Frames: what is compiled or set up at the first ones.


class Tool(NamedTuple):
  """A program that is ready to read videos.

  Attributes:
    version: Of it; None where that is clear.
    warm_up: Does the same with a few frames.
    read: Reads all frames of the videos; returns how many (None: not known),
      and how many faces were found in them.
  """

  version: str | None
  warm_up: Callable[[], object]
  read: Callable[[], tuple[int | None, int]]


def run(make: Callable[[], Tool]) -> dict[str, Any]:
  """Times a tool.

  Args:
    make: Imports it and sets it up.

  Returns:
    `version`, `frames` and `faces`; `start_s` and `start_cpu_s` until the first
    frames were read; `seconds` and `cpu_s` for all frames. CPU seconds are
    those of all threads of this process.
  """
  clocks = [_clock()]
  # What the tools print must not stand beside the line of JSON.
  with contextlib.redirect_stdout(sys.stderr):
    tool = make()
    tool.warm_up()
    clocks.append(_clock())
    frames, faces = tool.read()
  clocks.append(_clock())
  (start_s, start_cpu_s), (seconds, cpu_s) = (
    (after[0] - before[0], after[1] - before[1])
    for before, after in itertools.pairwise(clocks)
  )
  return {
    "version": tool.version,
    "frames": frames,
    "faces": faces,
    "start_s": start_s,
    "start_cpu_s": start_cpu_s,
    "seconds": seconds,
    "cpu_s": cpu_s,
  }


def _clock():
  return time.perf_counter(), time.process_time()


def _frames(videos) -> Iterator[Any]:
  """Yields the frames of videos, uint8 [H, W, 3] BGR."""
  import cv2

  for path in videos:
    video = cv2.VideoCapture(path)
    while True:
      is_read, frame = video.read()
      if not is_read:
        break
      yield frame


def _by_frames(version, find, videos, limit):
  """Makes a tool of a function from a frame (BGR) to a number of faces."""

  def read(most=limit):
    counts = [find(x) for x in itertools.islice(_frames(videos), most)]
    return len(counts), sum(counts)

  return Tool(version, lambda: read(_WARM_UP), read)


def _face_recognition(videos, limit):
  """Boxes by HOG, five landmarks and 128 numbers of identity, of dlib."""
  import cv2
  import face_recognition

  def find(frame):
    image = cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)
    boxes = face_recognition.face_locations(image)
    return len(face_recognition.face_encodings(image, boxes))

  return _by_frames(
    _version("face_recognition", "dlib-bin"), find, videos, limit
  )


def _mediapipe(videos, limit):
  """478 landmarks of the face, followed from frame to frame."""
  import cv2
  import mediapipe

  mesh = mediapipe.solutions.face_mesh.FaceMesh(refine_landmarks=True)

  def find(frame):
    found = mesh.process(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB))
    return len(found.multi_face_landmarks or ())

  return _by_frames(_version("mediapipe"), find, videos, limit)


def _deepface(videos, limit):
  """Boxes by OpenCV's cascade, the network Facenet; weights at random."""
  os.environ |= {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"}
  from deepface import DeepFace
  from deepface.commons import weight_utils

  # Speed does not depend on them, and they would have to be fetched.
  weight_utils.download_weights_if_necessary = lambda **_: ""
  weight_utils.load_model_weights = lambda model, **_: model

  def find(frame):
    found = DeepFace.represent(
      frame,
      model_name="Facenet",
      detector_backend="opencv",
      enforce_detection=False,
    )
    return sum(x["face_confidence"] > 0 for x in found)

  return _by_frames(_version("deepface", "tensorflow"), find, videos, limit)


def _py_feat(videos, limit):
  """Networks of py-feat's Detectorv2; weights and boxes made up.

  With weights at random, the face detector's scores mean nothing: its network
  runs, and one box in the middle is taken. So its choice of boxes is left out.
  """
  import numpy as np
  import torch
  from feat import detector_v2
  from feat.face_detectors.Retinaface import Retinaface_test
  from feat.identity_detectors.arcface import arcface_model
  from feat.multitask import inference, model_v2

  class Finder(Retinaface_test.Retinaface):
    def __init__(self, device):
      super().__init__(device, pretrained="")

    def __call__(self, images):
      self.net(images - Retinaface_test._RGB_MEAN)
      height, width = images.shape[-2:]
      box = [width / 4, height / 4, 3 * width / 4, 3 * height / 4, 1.0]
      return [[box] for _ in images]

  def weights(_):
    config = model_v2.ModelV2Config(pretrained=False)
    return {}, model_v2.MEGraphAUv2(config).state_dict()

  def identity(device):
    return arcface_model.ArcFace(backbone="r50").eval().to(device)

  inference._load_multitask_weights = weights
  inference.MultitaskModel._resolve_weights = staticmethod(lambda path: path)
  detector_v2.Retinaface = Finder
  detector_v2.load_arcface_identity_detector = identity
  detector = detector_v2.Detectorv2()

  def read(most=limit):
    count = 0
    frames = itertools.islice(_frames(videos), most)
    while some := list(itertools.islice(frames, _BATCH)):
      pixels = np.ascontiguousarray(np.stack(some)[..., ::-1])
      detector.detect(
        torch.from_numpy(pixels).permute(0, 3, 1, 2),
        data_type="tensor",
        batch_size=_BATCH,
        progress_bar=False,
      )
      count += len(some)
    return count, count

  return Tool(_version("py-feat", "torch"), lambda: read(_WARM_UP), read)


TOOLS = {
  "face_recognition": _face_recognition,
  "mediapipe": _mediapipe,
  "deepface": _deepface,
  "py-feat": _py_feat,
}


def _version(*packages):
  found = (f"{x} {importlib.metadata.version(x)}" for x in packages)
  return ", ".join(found)


def main(arguments: Iterable[str]) -> None:
  """Prints what `run` returns, of a tool's name, frames at most and videos."""
  name, most, *videos = arguments
  print(json.dumps(run(lambda: TOOLS[name](videos, int(most)))))


if __name__ == "__main__":
  main(sys.argv[1:])
