"""Reading where a response leads."""

from __future__ import annotations

from urllib.parse import parse_qsl, urlsplit


def query(url):
    """Return the query of an address as a dict."""
    return dict(parse_qsl(urlsplit(url).query, keep_blank_values=True))


def landed(response):
    """Return the query of close.html, where a flow's last response must lead."""
    assert response.status_code == 303, (response.status_code, response.text)
    location = response.headers["Location"]
    assert urlsplit(location).path.endswith("/sc-connect/close.html"), location
    return query(location)
