import re
import socket
import threading

import pytest

from facerep_jax import errors
from facerep_jax.explorer import page_files, server


def echo(query, body):
  return server.Answer("text/plain", body.read())


def full(query):
  raise OSError(28, "No space left on device", "/somewhere")


@pytest.fixture(scope="module")
def page():
  routes = {
    "/api/echo": server.Post(echo, 100),
    "/api/full": server.Get(full),
  }
  with server.Server(0, routes) as one:
    thread = threading.Thread(target=one.serve_forever, args=(0.02,))
    thread.start()
    yield one
    one.shutdown()
    thread.join()


def talk(page, text):
  """Sends bytes, and returns all that comes until the server closes."""
  with socket.create_connection(("127.0.0.1", page.server_port), 10) as one:
    one.sendall(text.replace("HOST", page.url[7:-1]).encode())
    one.shutdown(socket.SHUT_WR)
    return b"".join(iter(lambda: one.recv(65536), b"")).decode()


def request(method="GET", path="/", more="", body=""):
  origin = "Origin: http://HOST\r\n"
  head = f"{method} {path} HTTP/1.1\r\nHost: HOST\r\n{origin}{more}\r\n"
  return head + body


def test_listens_on_this_machine_only(page):
  assert page.server_address[0] == "127.0.0.1"
  assert page.url == f"http://127.0.0.1:{page.server_port}/"


def test_the_page_is_served_and_may_load_nothing_else(page):
  for path in page_files.read_all():
    text = talk(page, request(path=path))
    assert text.startswith("HTTP/1.1 200"), path
    assert "default-src 'none'" in text and "no-store" in text
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", text), path
  for path in ("/../server.py", "/%2e%2e/server.py", "/page.py", "/api/x"):
    assert talk(page, request(path=path)).startswith("HTTP/1.1 404"), path


def test_scripts_and_styles_are_files_of_their_own():
  text = page_files.read_all()["/"][1].decode()
  assert "<script>" not in text and " style=" not in text
  assert not re.search(r"\son\w+=", text)


@pytest.mark.parametrize(
  ("more", "body", "status", "said"),
  [
    ("Content-Length: 3\r\n", "abc", 200, "abc"),
    ("Content-Length: 101\r\n", "a" * 101, 413, "too large"),
    ("Content-Length: 9999999999\r\n", "", 413, "too large"),
    ("Content-Length: -1\r\n", "", 400, "expected a number"),
    ("Content-Length: 1e3\r\n", "", 400, "expected a number"),
    ("Content-Length: 50\r\n", "abc", 400, "ended after 3 of 50 bytes"),
    (
      "Transfer-Encoding: chunked\r\n",
      "3\r\nabc\r\n0\r\n\r\n",
      411,
      "how long",
    ),
  ],
)
def test_uploads_have_a_length_and_a_limit(page, more, body, status, said):
  text = talk(page, request("POST", "/api/echo", more, body))
  assert text.startswith(f"HTTP/1.1 {status}") and said in text
  assert text.count("HTTP/1.1") == 1  # A body is no request of its own.
  assert talk(page, request()).startswith("HTTP/1.1 200")


@pytest.mark.parametrize(
  ("method", "path"), [("GET", "/api/echo"), ("POST", "/api/full")]
)
def test_addresses_have_one_method(page, method, path):
  more = "Content-Length: 0\r\n"
  assert talk(page, request(method, path, more)).startswith("HTTP/1.1 405")


def test_trouble_of_the_machine_is_one_line(page):
  text = talk(page, request(path="/api/full"))
  assert text.startswith("HTTP/1.1 500")
  assert "/somewhere: No space left on device" in text


def test_others_are_refused(page):
  text = talk(page, "GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n")
  assert text.startswith("HTTP/1.1 403") and "<" not in text


def test_a_connection_serves_several_requests(page):
  text = talk(page, request() + request(path="/style.css"))
  assert text.count("HTTP/1.1 200") == 2


def test_a_port_in_use_is_one_line(page):
  with pytest.raises(errors.InputError, match="Give another one, or 0 for any"):
    server.Server(page.server_port, {})
