"""Ask the API for a page of tracks, and say in one sentence what went wrong."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

import requests

from scconnect_wsgi.connections import ApiSession, Connections
from scconnect_wsgi.errors import (
    ConnectError,
    ConnectionRevoked,
    NotConnected,
    ProviderUnavailable,
    RefreshLost,
)

FIRST_PAGE = "/me/tracks?linked_partitioning=true&limit=3"
SHOWN = ("title", "sharing", "duration")  # of a track; the duration is in milliseconds
SILENT = "SoundCloud does not answer at the moment. The connection is kept."
UNCLEAR = "SoundCloud answered with something that makes no sense. The connection is kept."
ENDED = "SoundCloud no longer accepts this connection. Connect again to mend it."
REFUSED = (
    "SoundCloud refuses the tracks (401), but still knows the account. The connection is kept."
)
NOT_YOURS = "This browser has no such connection."


class NoTracksError(Exception):
    """There are no tracks to show. ``sentence`` says why, to the user."""

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence)
        self.sentence = sentence


def page_of_tracks(connections: Connections, id: str, user: str, address: str) -> dict[str, Any]:
    """Return the tracks at an address of the API, and the address of the next page, or None.

    ``refreshed`` says whether the token was refreshed for it. Raises NoTracksError.
    """
    try:
        session = _session(connections, id, user)
        token = session.connection.token
        response = session.get(address)
    except requests.RequestException:
        raise NoTracksError(SILENT) from None
    except ConnectError as error:
        raise _explained(error) from None
    tracks, following = _content(response)
    refreshed = session.connection.token != token
    return {"tracks": tracks, "next": following, "refreshed": refreshed}


def _session(connections: Connections, id: str, user: str) -> ApiSession:
    """Return a session for a connection. One that has ended is looked at again first."""
    try:
        return connections.session(id, user=user)
    except (ConnectionRevoked, RefreshLost):
        connections.revive(id, user=user)
        return connections.session(id, user=user)


def _explained(error: ConnectError) -> NoTracksError:
    if isinstance(error, (ConnectionRevoked, RefreshLost)):
        return NoTracksError(ENDED)
    if isinstance(error, NotConnected):
        return NoTracksError(NOT_YOURS)
    return NoTracksError(SILENT if isinstance(error, ProviderUnavailable) else UNCLEAR)


def _content(response: requests.Response) -> tuple[list[dict[str, Any]], str | None]:
    """Return the tracks of an answer, and the address of the next page. Raises NoTracksError."""
    if response.status_code == HTTPStatus.UNAUTHORIZED:
        raise NoTracksError(REFUSED)
    if response.status_code == HTTPStatus.TOO_MANY_REQUESTS:
        seconds = response.headers.get("Retry-After", "a few")
        raise NoTracksError(f"SoundCloud is busy and asks to wait {seconds} seconds.")
    if not response.ok:
        raise NoTracksError(SILENT)
    try:
        page = response.json()
        tracks = [{name: track[name] for name in SHOWN} for track in page["collection"]]
        following = page.get("next_href")
    except (ValueError, TypeError, LookupError):
        raise NoTracksError(UNCLEAR) from None
    return tracks, following
