import email.message

import pytest

from facerep_jax.explorer import guard

OWN = "http://127.0.0.1:8765"


def refusal(method="POST", path="/api/photo", **headers):
  message = email.message.Message()
  given = {"Host": "127.0.0.1:8765", "Origin": OWN} | headers
  for name, value in given.items():
    if value is not None:
      message[name.replace("_", "-")] = value
  return guard.refusal(method, path, message)


@pytest.mark.parametrize(
  ("host", "origin"),
  [
    ("127.0.0.1:8765", OWN),
    ("localhost:8765", "http://localhost:8765"),
    ("LocalHost:9000", "http://localhost:9000"),  # Of a tunnel.
    ("[::1]:8765", "http://[::1]:8765"),
    ("127.0.0.1", "http://127.0.0.1"),
  ],
)
def test_its_own_page_is_answered(host, origin):
  assert refusal(Host=host, Origin=origin) is None
  assert refusal("GET", Host=host, Origin=None) is None


@pytest.mark.parametrize(
  "host",
  [
    *("evil.example:8765", "localhost.evil.example", "127.0.0.1.nip.io:8765"),
    *("127.0.0.1:8765@evil.example", "127.0.0.2:8765", "0.0.0.0:8765", ""),
    None,
  ],
)
def test_other_names_are_refused_even_for_the_page(host):
  assert "127.0.0.1 and localhost" in refusal("GET", "/", Host=host)
  assert refusal(Host=host, Origin=f"http://{host}")


@pytest.mark.parametrize(
  "origin",
  [
    *("http://evil.example", "null", "https://127.0.0.1:8765"),
    *("http://127.0.0.1:9999", "http://localhost:8765", None),
  ],
)
def test_other_origins_change_nothing(origin):
  assert refusal(Origin=origin)
  if origin:
    assert refusal("GET", Origin=origin)


@pytest.mark.parametrize("site", ["cross-site", "same-site", "Cross-Site"])
def test_other_sites_get_no_pictures_but_may_lead_to_the_page(site):
  headers = {"Origin": None, "Sec_Fetch_Site": site}
  assert refusal("GET", "/api/face", **headers)
  assert refusal("GET", "/", **headers) is None


def test_two_hosts_are_refused():
  message = email.message.Message()
  message["Host"] = "127.0.0.1:8765"
  message["Host"] = "evil.example"
  assert guard.refusal("GET", "/", message)
