"""The explorer's server under test, in a thread, and a client of it."""

import contextlib
import http.client
import json
import threading
import time
import urllib.parse

from facerep_jax.explorer import engine as engines
from facerep_jax.explorer import routes, server


class Client:
  """Asks a server as its own page does.

  Attributes:
    server: The server.
    explorer: What it calls.
  """

  def __init__(self, page, explorer):
    self.server, self.explorer = page, explorer
    self.host = f"127.0.0.1:{page.server_port}"

  def ask(self, method, path, body=None, headers=None):
    """Returns status, headers and content."""
    headers = {"Origin": f"http://{self.host}"} | (headers or {})
    connection = http.client.HTTPConnection(self.host, timeout=60)
    with contextlib.closing(connection):
      connection.request(
        method,
        path,
        body,
        {k: v for k, v in headers.items() if v is not None},
      )
      answer = connection.getresponse()
      return answer.status, answer.headers, answer.read()

  def get(self, path, **query):
    """Returns what an address answers; JSON as values."""
    whole = f"{path}?{urllib.parse.urlencode(query)}"
    return _value(self.ask("GET", whole))

  def post(self, path, body):
    """Returns what an address answers to a file."""
    return _value(self.ask("POST", path, body))

  def error(self, method, path, body=None, headers=None):
    """Returns the status and the line of a request that is refused."""
    status, _, content = self.ask(method, path, body, headers)
    line = json.loads(content)["error"]
    assert "\n" not in line and "Traceback" not in line
    return status, line

  def wait(self, path):
    """Waits until work beside the server is over; returns how it ended."""
    end = time.monotonic() + 60
    while True:
      now = self.get(path)
      if now["state"] != "working":
        return now
      assert time.monotonic() < end, now
      time.sleep(0.02)


def _value(answer):
  status, headers, content = answer
  assert status == 200, content
  if headers["Content-Type"] == "application/json":
    return json.loads(content)
  return content


@contextlib.contextmanager
def running(model, **choice):
  """Serves a model; `choice` as of `routes.Choice`."""
  settings = {"title": "made-up", "crop": "none", "is_warmed_up": False}
  chosen = routes.Choice(**settings | choice)
  with (
    server.Server(0, {}) as page,
    contextlib.closing(
      routes.Explorer(engines.Engine(model), chosen)
    ) as explorer,
  ):
    page.routes = explorer.routes
    thread = threading.Thread(target=page.serve_forever, args=(0.02,))
    thread.start()
    try:
      yield Client(page, explorer)
    finally:
      page.shutdown()
      thread.join()
