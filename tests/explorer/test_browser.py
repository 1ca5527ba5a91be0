"""The page in Chromium: every part used, wide and as on a phone."""

import pytest

from facerep_jax.data import photos
from facerep_jax.explorer import curves
from facerep_jax.files import images
from facerep_jax.inference import face_folder
from tests import made_up_faces
from tests.explorer import served, webdriver
from tests.explorer.test_explorer import bright_square, write_clip

pytestmark = [
  pytest.mark.slow,
  pytest.mark.skipif(not webdriver.is_there(), reason="needs chromium"),
]
QUIET = "document.getElementById('status').hidden"
SIZES = {"wide": (1280, 900), "phone": (390, 844)}


@pytest.fixture(autouse=True)
def made_up_detector(monkeypatch):
  for module in (curves.detect, photos.detect):
    monkeypatch.setattr(
      module, "make_detector", lambda model=None: bright_square
    )


@pytest.fixture
def place(tmp_path):
  for i, image in enumerate(made_up_faces.photos(4)):
    (tmp_path / f"{i}.jpg").write_bytes(images.encode_jpeg(image, 95))
  (tmp_path / "bad.txt").write_text("no image")
  write_clip(tmp_path / "clip.mp4")
  return tmp_path


def check(browser, url):
  """Nothing reaches over the side, or came from elsewhere."""
  width, window = browser.run(
    "return [document.documentElement.scrollWidth, innerWidth]"
  )
  assert width <= window
  asked = [x for x in browser.addresses() if not x.startswith("chrome:")]
  assert asked
  own = (url, f"blob:{url}", "data:")
  assert [x for x in asked if not x.startswith(own)] == []


def picture(browser):
  return browser.run("return document.getElementById('rendered').src")


def changed(browser, action):
  """Does something after which another picture has to be there."""
  before = picture(browser)
  action()
  browser.wait_for(
    f"document.getElementById('rendered').src !== '{before}'", 30
  )


@pytest.mark.parametrize("size", SIZES)
def test_every_part_of_the_page(size, latentface, place):
  faces = face_folder.of_photos(place, "none")
  with (
    served.running(latentface, faces=faces) as client,
    webdriver.opened(*SIZES[size]) as browser,
  ):
    url = client.server.url
    browser.open(url)
    browser.give("#photo-file", place / "0.jpg")
    browser.wait_for("document.querySelectorAll('#faces img').length === 4")
    browser.wait_for("document.getElementById('rendered').naturalWidth === 64")
    assert browser.run("return document.querySelectorAll('#maps img').length")
    changed(browser, lambda: browser.slide("yaw", 40))
    changed(browser, lambda: browser.slide("right_deg", 30))
    changed(browser, lambda: browser.click("#as-photo"))
    changed(browser, lambda: browser.click("[value=neutral]"))
    other = place / "1.jpg"
    changed(browser, lambda: browser.give("#other-file", other))
    drop = browser.drop
    changed(browser, lambda: drop("#other-drop", place / "2.jpg", "image/jpeg"))
    assert browser.run("return document.querySelector('[value=other]').checked")
    changed(browser, lambda: drop("#factors", place / "3.jpg", "image/jpeg"))
    assert browser.run("return document.querySelector('[value=own]').checked")
    check(browser, url)
    browser.wait_for(QUIET)
    assert browser.log("browser") == []
    browser.give("#photo-file", place / "bad.txt")
    browser.wait_for("document.querySelector('#status.error')")
    said = browser.run("return document.getElementById('status').innerText")
    assert said == "this photo: not an image."
    browser.log("browser")  # It names the answer 400.
    browser.drop("body", place / "clip.mp4", "video/mp4")
    browser.wait_for("document.querySelectorAll('#charts svg').length >= 5")
    browser.click("#camera-open")
    browser.wait_for("document.getElementById('camera-live').videoWidth > 0")
    changed(browser, lambda: browser.click("#camera-take"))
    check(browser, url)
    assert browser.log("browser") == []


def test_a_page_without_scene_factors(fabnet, place):
  faces = face_folder.of_photos(place, "none")
  with (
    served.running(fabnet, faces=faces) as client,
    webdriver.opened(*SIZES["phone"]) as browser,
  ):
    browser.open(client.server.url)
    browser.give("#photo-file", place / "2.jpg")
    browser.wait_for("document.querySelectorAll('#faces img').length === 4")
    assert browser.run("return document.querySelectorAll('.scene').length") == 0
    text = browser.run("return document.getElementById('no-scene').innerText")
    assert "Not with this model" in text
    check(browser, client.server.url)
    assert browser.log("browser") == []
