"""The server of the page: 127.0.0.1 only, with limits on what it takes."""

import contextlib
import http.server
import json
import pathlib
import socketserver
import sys
import urllib.parse
from collections.abc import Callable, Mapping
from typing import Any, BinaryIO, NamedTuple

from facerep_jax import environment, errors
from facerep_jax.explorer import guard, page_files
from facerep_jax.files import atomic

ADDRESS = "127.0.0.1"
_MIB = 2**20
_IDLE_S = 60  # A connection that says nothing is closed.
_READ_AWAY_BYTES = 4 * _MIB  # Of what is refused, so that the answer arrives.
_HEADERS = {
  "Cache-Control": "no-store",
  "Content-Security-Policy": (
    "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' data: blob:; connect-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
  ),
  "Cross-Origin-Opener-Policy": "same-origin",
  "Cross-Origin-Resource-Policy": "same-origin",
  "Referrer-Policy": "same-origin",
  "X-Content-Type-Options": "nosniff",
}


class Answer(NamedTuple):
  """What a request gets.

  Attributes:
    kind: Media type.
    content: The bytes.
  """

  kind: str
  content: bytes


def as_json(value: Any) -> Answer:
  """Makes an answer of what JSON can hold."""
  text = json.dumps(value, allow_nan=False)
  return Answer("application/json", text.encode())


class Body:
  """What was sent along with a request; to be read once.

  Attributes:
    num_bytes: How much it is.
    is_read: Whether all of it was read.
  """

  def __init__(self, file: BinaryIO, num_bytes: int):
    self._file, self.num_bytes, self.is_read = file, num_bytes, False

  def read(self) -> bytes:
    """Returns all of it.

    Raises:
      InputError: The sender ended before.
    """
    content = self._file.read(self.num_bytes)
    self._check(len(content))
    return content

  def save(self, path: pathlib.Path) -> None:
    """Writes all of it to a new file.

    Args:
      path: Of the file.

    Raises:
      InputError: The sender ended before.
    """
    with atomic.whole(path) as temporary, open(temporary, "wb") as file:
      left = self.num_bytes
      while left and (part := self._file.read(min(left, _MIB))):
        file.write(part)
        left -= len(part)
      self._check(self.num_bytes - left)

  def read_away(self) -> None:
    """Reads what is left, if it is little: then the sender hears the answer."""
    if not self.is_read and self.num_bytes <= _READ_AWAY_BYTES:
      with contextlib.suppress(OSError):
        self._file.read(self.num_bytes)

  def _check(self, got):
    self.is_read = got == self.num_bytes
    if not self.is_read:
      raise errors.InputError(
        f"the upload ended after {got} of {self.num_bytes} bytes."
      )


class Get(NamedTuple):
  """An address to be asked.

  Attributes:
    answer: Maps the query, by name, to the answer.
  """

  answer: Callable[[dict[str, str]], Answer]


class Post(NamedTuple):
  """An address to which something is sent.

  Attributes:
    answer: Maps the query and what was sent to the answer.
    most_bytes: More is refused.
  """

  answer: Callable[[dict[str, str], Body], Answer]
  most_bytes: int


class Server(http.server.ThreadingHTTPServer):
  """Serves the page, and answers its requests."""

  daemon_threads = True

  def __init__(self, port: int, routes: Mapping[str, Get | Post]):
    """Listens.

    Args:
      port: 0 for any free one.
      routes: By path, such as "/api/about".

    Raises:
      InputError: The port is in use, or not for this user.
    """
    self.routes, self.files = routes, page_files.read_all()
    try:
      super().__init__((ADDRESS, port), _Handler)
    except OSError as error:
      raise errors.InputError(
        f"--port={port}: {error.strerror}. Give another one, or 0 for any."
      ) from error

  def server_bind(self):
    """Binds; the base class would ask a name server for the host's name."""
    socketserver.TCPServer.server_bind(self)
    self.server_name, self.server_port = self.server_address[:2]

  @property
  def url(self) -> str:
    """Address of the page."""
    return f"http://{ADDRESS}:{self.server_port}/"

  def handle_error(self, request, client_address):
    """Says nothing of browsers that went away; else leaves a traceback."""
    if not isinstance(sys.exc_info()[1], ConnectionError | TimeoutError):
      super().handle_error(request, client_address)


class _Refused(Exception):
  """A request that is not answered, with its status."""

  def __init__(self, status, text):
    super().__init__(text)
    self.status = status


class _Handler(http.server.BaseHTTPRequestHandler):
  """Answers the requests of one connection."""

  protocol_version = "HTTP/1.1"  # Keeps connections: sliders ask often.
  server_version, sys_version = "facerep_jax", ""
  timeout = _IDLE_S
  disable_nagle_algorithm = True

  def do_GET(self):
    self._serve("GET")

  def do_POST(self):
    self._serve("POST")

  def log_message(self, format, *args):
    del format, args  # No line for each request.

  def _serve(self, method):
    body = Body(self.rfile, 0)
    try:
      url = urllib.parse.urlsplit(self.path)
      body = self._body()
      answer = self._answer(method, url, body)
    except _Refused as error:
      self._complain(error.status, str(error), body)
    except errors.InputError as error:
      self._complain(400, str(error), body)
    except environment.KINDS as error:
      line = environment.line_of(error)
      if line is None or isinstance(error, ConnectionError | TimeoutError):
        raise
      self._complain(500, line, body)
    else:
      self._send(200, answer)

  def _body(self):
    if "Transfer-Encoding" in self.headers:
      self.close_connection = True
      raise _Refused(411, "an upload has to say how long it is.")
    length = self.headers.get("Content-Length", "0")
    if not length.isascii() or not length.isdigit():
      self.close_connection = True
      raise _Refused(400, f"Content-Length: expected a number, got {length!r}.")
    return Body(self.rfile, int(length))

  def _answer(self, method, url, body):
    reason = guard.refusal(method, url.path, self.headers)
    if reason:
      raise _Refused(403, reason)
    if method == "GET" and url.path in self.server.files:
      return Answer(*self.server.files[url.path])
    route = self.server.routes.get(url.path)
    if route is None:
      raise _Refused(404, f"{url.path}: there is nothing here.")
    query = dict(urllib.parse.parse_qsl(url.query))
    if isinstance(route, Get) and method == "GET":
      return route.answer(query)
    if isinstance(route, Get) or method == "GET":
      raise _Refused(405, f"{url.path}: not by {method}.")
    if body.num_bytes > route.most_bytes:
      raise _Refused(
        413,
        f"{body.num_bytes / _MIB:.1f} MiB: too large, at most "
        f"{route.most_bytes / _MIB:g} MiB are taken.",
      )
    return route.answer(query, body)

  def _complain(self, status, text, body):
    if body.num_bytes and not body.is_read:
      body.read_away()
      self.close_connection = True
    line = " ".join(text.split())
    self._send(status, as_json({"error": line}))

  def _send(self, status, answer):
    self.send_response(status)
    self.send_header("Content-Type", answer.kind)
    self.send_header("Content-Length", str(len(answer.content)))
    if self.close_connection:
      self.send_header("Connection", "close")
    for name, value in _HEADERS.items():
      self.send_header(name, value)
    self.end_headers()
    self.wfile.write(answer.content)
