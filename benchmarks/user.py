"""The user of the benchmarks, who takes as little of the shared cores as one can.

The Browser of the tests asks for every page, as people do; that would be measured too.
"""

from __future__ import annotations

import http.client
import re
from urllib.parse import urlencode, urlsplit

FORM = "application/x-www-form-urlencoded"


class User:
    """joe, who logs in once, and speaks plain http to the provider even if the site speaks TLS."""

    def __init__(self, provider: str) -> None:
        self._connection = http.client.HTTPConnection(urlsplit(provider).netloc, timeout=30)
        self._cookie = ""
        page = self._send("GET", "/login")[1]
        fields = {"csrf": _csrf(page), "username": "joe", "password": "joe", "next": "/"}
        self._send("POST", "/login", fields)
        self._allow: dict[str, str] = {}

    def allow(self, authorize_url: str) -> str:
        """Press Allow on the provider's page.

        Return the address that the provider sends the browser back to.
        """
        parts = urlsplit(authorize_url)
        target = f"{parts.path}?{parts.query}"
        if not self._allow:
            self._allow = {"csrf": _csrf(self._send("GET", target)[1]), "decision": "allow"}
        location, page = self._send("POST", target, self._allow)
        assert location, page
        return location

    def _send(
        self, method: str, target: str, fields: dict[str, str] | None = None
    ) -> tuple[str, str]:
        headers = {"Cookie": self._cookie, "Content-Type": FORM}
        self._connection.request(method, target, urlencode(fields or {}), headers)
        answer = self._connection.getresponse()
        page = answer.read().decode()
        self._cookie = answer.headers.get("Set-Cookie", self._cookie).partition(";")[0]
        return answer.headers.get("Location", ""), page


def _csrf(page: str) -> str:
    return re.search(r'name="csrf" value="([^"]*)"', page)[1]
