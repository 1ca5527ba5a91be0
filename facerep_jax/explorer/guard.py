"""Which requests are refused: those that no page of this server makes.

A server on 127.0.0.1 can be reached by every page that the user's browser
shows. Pages under other names, also names that were made to lead to 127.0.0.1
(DNS rebinding), give another Host; pages of other sites give another Origin.
"""

import email.message
import re

# Any port: a tunnel may have another one at its other end.
_HOST = re.compile(r"(127\.0\.0\.1|localhost|\[::1\])(:\d{1,5})?", re.I)
_OWN_SITES = ("same-origin", "none")  # "none": the user typed the address.


def refusal(
  method: str, path: str, headers: email.message.Message
) -> str | None:
  """Says why a request is refused.

  Args:
    method: Such as "POST".
    path: Without the query; what is not below "/api/" is the page itself.
    headers: Of the request.

  Returns:
    One line; None where the request is answered.
  """
  hosts = headers.get_all("Host", [])
  if len(hosts) != 1 or not _HOST.fullmatch(hosts[0].strip()):
    return "this server answers to 127.0.0.1 and localhost only."
  own = f"http://{hosts[0].strip()}".lower()
  origins = [x.strip().lower() for x in headers.get_all("Origin", [])]
  if method != "GET" and not origins:
    return "a request without Origin changes nothing here."
  if any(origin != own for origin in origins):
    return "another site made this request."
  site = headers.get("Sec-Fetch-Site", "none").strip().lower()
  if path.startswith("/api/") and site not in _OWN_SITES:
    return "another site made this request."
  return None
