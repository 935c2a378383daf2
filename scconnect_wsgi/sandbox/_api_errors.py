"""The API's errors, in the shape that SoundCloud gives them."""

from __future__ import annotations

from http import HTTPStatus

import webob

DOCUMENTATION = "https://developers.soundcloud.com/docs/api/explorer/open-api"


class RefusedError(Exception):
    """The API refuses a request. ``message`` says why, to the client's developer."""

    def __init__(self, status: int, message: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.message = message


def api_error(status: int, message: str = "") -> webob.Response:
    """Return an error with its ``message``, which is the status in words unless given."""
    phrase = _phrase(status)
    fields = {
        "code": status,
        "message": message or phrase,
        "link": DOCUMENTATION,
        # Deprecated by SoundCloud, but still sent.
        "status": f"{status} - {phrase}",
        "errors": [],
        "error": None,
    }
    return webob.Response(json_body=fields, status=status)


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"
