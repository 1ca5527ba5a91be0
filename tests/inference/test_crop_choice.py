import logging

import numpy as np
import pytest
from PIL import Image

from facerep_jax import errors
from facerep_jax.data import photos
from facerep_jax.inference import crop_choice


def picture(height, width, box=None):
  """A dark picture with a bright face at x0, y0, x1, y1."""
  pixels = np.full((height, width, 3), 20, np.uint8)
  if box:
    x0, y0, x1, y1 = box
    pixels[y0:y1, x0:x1] = 200
  return pixels


def bright(image):
  """A detector of such faces."""
  rows, columns = np.nonzero(image[..., 0] > 100)
  if not len(rows):
    return np.zeros((0, 5), np.float32)
  box = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
  return np.array([[*box, 1]], np.float32)


@pytest.fixture(autouse=True)
def detector(monkeypatch):
  monkeypatch.setattr(
    crop_choice.detect, "make_detector", lambda model=None: bright
  )


TIGHT, CLOSE, WIDE = (3, 3, 45, 45), (8, 8, 40, 40), (12, 12, 32, 32)


@pytest.mark.parametrize(
  ("boxes", "shape", "is_cropped"),
  [
    ([TIGHT, None], (48, 48), True),  # FER-2013: every other one is found.
    ([TIGHT], (48, 48), True),
    ([None], (48, 48), True),  # None is found: all are whole anyway.
    ([CLOSE, None], (48, 48), True),
    ([CLOSE], (48, 48), False),  # All can be cut, alike.
    ([WIDE, None], (48, 48), False),  # Photos, some of them of no face.
    ([TIGHT, None], (48, 64), False),  # So long an image is no cut face.
    ([None], (48, 64), False),
  ],
)
def test_sets_that_are_cut_already_are_told(boxes, shape, is_cropped):
  images = [picture(*shape, box) for box in boxes] * 20
  seen = crop_choice.look(len(images), images.__getitem__, bright)
  assert seen.is_cropped == is_cropped
  assert seen.num_images == min(32, len(images))
  share = sum(box is not None for box in boxes) / len(boxes)
  assert seen.num_found == share * seen.num_images


def test_sample_is_spread_and_unreadable_images_are_passed_over():
  asked = []

  def read(number):
    asked.append(number)
    if number % 2:
      raise errors.InputError("no image")
    return picture(48, 48, TIGHT)

  seen = crop_choice.look(1000, read, bright)
  assert len(asked) == 32 and asked[0] == 0 and asked[-1] == 999
  assert max(np.diff(asked)) <= 33
  assert seen.num_images == sum(x % 2 == 0 for x in asked) == seen.num_found
  assert seen.share == 42 / 48
  assert not crop_choice.look(0, read, bright).is_cropped


def test_one_set_has_one_kind_of_crop_and_one_line(tmp_path, caplog):
  for i in range(6):
    box = TIGHT if i % 2 else None
    Image.fromarray(picture(48, 48, box)).save(tmp_path / f"{i}.png")
  paths = photos.find(str(tmp_path))
  with caplog.at_level(logging.WARNING):
    cut = crop_choice.of_folder(str(tmp_path), paths, "auto")
  [faces] = photos.read(str(tmp_path), paths, cut, 10)
  assert faces.kinds == ["whole"] * 6
  assert {x.shape for x in faces.images} == {(48, 48, 3)}
  [line] = caplog.messages
  assert line.startswith(
    f"{tmp_path}: a face found in 3 of 6 looked at, over 88"
  )
  assert "ALL images are left WHOLE" in line


def test_photos_are_cut_and_that_is_said(caplog):
  images = [picture(90, 120, (50, 30, 80, 60))] * 3 + [picture(90, 120)]
  with caplog.at_level(logging.WARNING):
    cut = crop_choice.choose("auto", "mine", 4, images.__getitem__)
  assert [cut(x)[1] for x in images] == ["face"] * 3 + ["whole"]
  [line] = caplog.messages
  assert line.startswith("mine: a face found in 3 of 4 looked at, over 33 %")
  assert "CUT OUT" in line


@pytest.mark.parametrize("kind", ["face", "none"])
def test_what_is_asked_for_is_done_without_a_look(kind, caplog):
  def read(number):
    raise AssertionError("looked at")

  cut = crop_choice.choose(kind, "mine", 5, read)
  tight = picture(48, 48, TIGHT)
  assert cut(tight)[1] == kind
  assert not caplog.messages
