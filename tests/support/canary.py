"""Search what a test wrote, to logs of any level, stdout and stderr, for the secrets that it met.

Whatever meets a secret calls ``met(secret)``: the browser of the tests for its cookies, the storage
for the tokens it is given, and the sandboxes of this process for each code and token they issue.
"""

from __future__ import annotations

import json
import logging
import sys
import zlib
from base64 import urlsafe_b64decode

from scconnect_wsgi.sandbox._state import ISSUED

SHORTEST = 12  # characters; anything shorter is a word of a test, and no secret
FOREIGN = ("oauthlib", "requests", "requests_oauthlib", "urllib3")

_met: list[object] = []  # extended and copied in one step each: threads meet secrets too


def met(*things: object) -> None:
    """Remember secrets: strings, or records of the sandbox that hold some now or later."""
    _met.extend(things)


def listen_to_sandboxes() -> None:
    """Remember, from now on, each code and token that a sandbox of this process issues."""
    # A hook of this kind stays until the process ends
    sys.addaudithook(_on_audit)


def _on_audit(event: str, arguments: tuple[object, ...]) -> None:
    if event == ISSUED:
        met(*arguments)


def met_cookie(value: str) -> None:
    """Remember a flow's cookie, and what it keeps: it is signed, not encrypted."""
    met(value)
    payload = value.partition(".")[0]
    try:
        data = urlsafe_b64decode(payload + "=" * (-len(payload) % 4))
        pending = json.loads(data if data.startswith(b"[") else zlib.decompress(data))[3]
    except (ValueError, zlib.error):  # not in the clear
        return
    met(*filter(None, pending.values()))  # None stands for the flow's id


def secrets_met() -> set[str]:
    found = set()
    for thing in list(_met):
        record = [getattr(thing, name, None) for name in ("secret", "verifier")]
        values = [thing] if isinstance(thing, str) else record
        found |= {value for value in values if isinstance(value, str) and len(value) >= SHORTEST}
    return found


def forget() -> None:
    _met.clear()


class Listener(logging.Handler):
    """Keep every record of every logger, as the text that a log file would get."""

    def __init__(self) -> None:
        super().__init__(level=1)
        self.lines: list[str] = []
        self._before = logging.WARNING
        self.setFormatter(logging.Formatter("%(name)s %(levelname)s %(message)s"))

    def __enter__(self) -> Listener:
        root = logging.getLogger()
        self._before = root.level
        root.addHandler(self)
        root.setLevel(1)
        return self

    def __exit__(self, *_: object) -> None:
        root = logging.getLogger()
        root.removeHandler(self)
        root.setLevel(self._before)

    def emit(self, record: logging.LogRecord) -> None:
        if record.name.split(".")[0] not in FOREIGN or on_behalf_of_the_package():
            self.lines.append(self.format(record))

    def leaks(self, secrets: set[str]) -> list[str]:
        return [line for line in self.lines if any(secret in line for secret in secrets)]


def on_behalf_of_the_package() -> bool:
    """Return whether the package called the library that logs now, not the sandbox or a test.

    The sandbox is the provider: oauthlib's server side logs what providers know. And the browser of
    the tests is a requests.Session, whose addresses hold codes. Only in tests do both run in this
    process, with the loggers of the libraries that the package uses; the caller tells them apart.
    """
    frame = sys._getframe()
    while frame is not None:
        name = frame.f_globals.get("__name__", "")
        if name.partition(".")[0] == "scconnect_wsgi":
            return not name.startswith("scconnect_wsgi.sandbox")
        frame = frame.f_back
    return False
