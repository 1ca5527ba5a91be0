"""A browser under test: WebDriver's protocol in a few calls, no package."""

import base64
import contextlib
import http.client
import json
import pathlib
import shutil
import subprocess
import tempfile
import time
from typing import Any

FLAGS = (
  *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic"),
  *("--no-first-run", "--disable-background-networking"),
  *("--disable-component-update", "--disable-sync"),
  *("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"),
)
_ELEMENT = "element-6066-11e4-a52e-4f735466cecf"


def is_there() -> bool:
  """Tells whether Chromium and its driver are installed."""
  return all(shutil.which(x) for x in ("chromium", "chromedriver"))


class Browser:
  """Chromium with an empty profile; use `opened`."""

  def __init__(self, port: int, width: int, height: int, profile: str):
    self._port = port
    flags = [*FLAGS, f"--user-data-dir={profile}"]
    options: dict[str, Any] = {"args": flags}
    if width < 500:  # Windows are not that narrow.
      flags.append("--window-size=800,900")
      metrics = {"width": width, "height": height, "pixelRatio": 2}
      options["mobileEmulation"] = {"deviceMetrics": metrics}
    else:
      flags.append(f"--window-size={width},{height}")
    capabilities = {
      "browserName": "chrome",
      "goog:chromeOptions": options,
      "goog:loggingPrefs": {"performance": "ALL", "browser": "ALL"},
    }
    self._session = ""
    told = self._ask(
      "POST", "/session", {"capabilities": {"alwaysMatch": capabilities}}
    )
    self._session = f"/session/{told['sessionId']}"

  def _ask(self, method, path, value=None):
    connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=90)
    with contextlib.closing(connection):
      body = None if value is None else json.dumps(value)
      connection.request(method, self._session + path, body)
      told = json.loads(connection.getresponse().read())["value"]
    if isinstance(told, dict) and "error" in told:
      raise AssertionError(f"{told['error']}: {told['message'][:300]}")
    return told

  def open(self, url: str) -> None:
    """Opens a page."""
    self._ask("POST", "/url", {"url": url})

  def run(self, script: str, *arguments: Any) -> Any:
    """Returns what a script returns."""
    value = {"script": script, "args": list(arguments)}
    return self._ask("POST", "/execute/sync", value)

  def _find(self, selector):
    value = {"using": "css selector", "value": selector}
    return f"/element/{self._ask('POST', '/element', value)[_ELEMENT]}"

  def click(self, selector: str) -> None:
    """Clicks an element, which has to be seen."""
    self._ask("POST", self._find(selector) + "/click", {})

  def give(self, selector: str, path: pathlib.Path) -> None:
    """Chooses a file."""
    value = {"text": str(path)}
    self._ask("POST", self._find(selector) + "/value", value)

  def drop(self, selector: str, path: pathlib.Path, kind: str) -> None:
    """Drops a file of a media type on an element."""
    self.run(
      "const [place, text, name, type] = arguments;"
      "const bytes = Uint8Array.from(atob(text), (x) => x.charCodeAt(0));"
      "const dataTransfer = new DataTransfer();"
      "dataTransfer.items.add(new File([bytes], name, {type}));"
      "document.querySelector(place).dispatchEvent(new DragEvent('drop',"
      "{dataTransfer, bubbles: true, cancelable: true}))",
      selector,
      base64.b64encode(path.read_bytes()).decode(),
      path.name,
      kind,
    )

  def slide(self, name: str, value: float) -> None:
    """Moves a slider."""
    self.run(
      "const x = document.getElementById(arguments[0]); x.value = arguments[1];"
      "x.dispatchEvent(new Event('input'))",
      name,
      value,
    )

  def wait_for(self, condition: str, seconds: float = 120) -> None:
    """Waits until an expression is true."""
    end = time.monotonic() + seconds
    while not self.run(f"return !!({condition})"):
      assert time.monotonic() < end, condition
      time.sleep(0.1)

  def log(self, kind: str) -> list[Any]:
    """Returns the messages of a log since the last call."""
    return self._ask("POST", "/se/log", {"type": kind})

  def addresses(self) -> list[str]:
    """Returns the addresses that were asked for since the last call."""
    said = [
      json.loads(x["message"])["message"] for x in self.log("performance")
    ]
    return [
      x["params"]["request"]["url"]
      for x in said
      if x["method"] == "Network.requestWillBeSent"
    ]

  def screenshot(self, *, is_whole: bool = False) -> bytes:
    """Returns a picture of the page as PNG."""
    params = {"captureBeyondViewport": is_whole}
    value = {"cmd": "Page.captureScreenshot", "params": params}
    told = self._ask("POST", "/goog/cdp/execute", value)
    return base64.b64decode(told["data"])

  def close(self) -> None:
    """Ends the browser."""
    self._ask("DELETE", "")


@contextlib.contextmanager
def opened(width: int, height: int):
  """Runs a browser with a window of this size."""
  with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
    driver = subprocess.Popen(
      ["chromedriver", "--port=0"],
      stdout=subprocess.PIPE,
      stderr=subprocess.DEVNULL,
      text=True,
    )
    try:
      said = ""
      while "on port" not in said or "successfully" not in said:
        said = driver.stdout.readline()
        assert said, "chromedriver ended"
      port = int(said.rstrip(". \n").rsplit(" ", 1)[1])
      browser = Browser(port, width, height, profile)
      try:
        yield browser
      finally:
        browser.close()
    finally:
      driver.terminate()
      driver.wait(20)
      driver.stdout.close()
