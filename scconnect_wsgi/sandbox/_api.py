"""The part of SoundCloud's API that a connected site uses first: the account and its tracks."""

from __future__ import annotations

import json
from typing import Any

import webob

from scconnect_wsgi.sandbox._oauth1 import OAuth1Server
from scconnect_wsgi.sandbox._oauth2 import OAuth2Server
from scconnect_wsgi.sandbox._records import User
from scconnect_wsgi.sandbox._state import State

LARGEST_PAGE = 200  # tracks; SoundCloud's own limit
DOCUMENTATION = "https://developers.soundcloud.com/docs/api/explorer/open-api"
AVATAR = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 100 100">'
    '<rect width="100" height="100" fill="#f50"/>'
    '<circle cx="50" cy="38" r="18" fill="#fff"/>'
    '<path d="M14 100a36 36 0 0 1 72 0z" fill="#fff"/></svg>'
)


class Api:
    """The endpoints that take an access token: in the Authorization header, never in a query."""

    def __init__(self, state: State, oauth1: OAuth1Server, oauth2: OAuth2Server) -> None:
        self._state = state
        self._oauth1 = oauth1
        self._oauth2 = oauth2

    def me(self, request: webob.Request) -> webob.Response:
        """Answer with the account of the token."""
        user = self._user(request)
        if user is None:
            return _error(401, "Unauthorized")
        return webob.Response(json_body=_profile(user, f"{request.application_url}/avatar.svg"))

    def avatar(self, request: webob.Request) -> webob.Response:
        """Answer with the one picture that all accounts share."""
        return webob.Response(
            AVATAR, content_type="image/svg+xml", charset="utf-8", cache_control="max-age=60"
        )

    def tracks(self, request: webob.Request) -> webob.Response:
        """Answer with a page of the user's tracks, private ones included.

        It is a collection if ``linked_partitioning`` is set, else (deprecated) an array.
        """
        user = self._user(request)
        if user is None:
            return _error(401, "Unauthorized")
        try:
            limit = int(request.GET.get("limit", "50"))
            offset = int(request.GET.get("offset", "0"))
        except ValueError:
            return _error(400, "Bad Request")
        limit = min(max(limit, 1), LARGEST_PAGE)
        offset = max(offset, 0)
        found = [_track(user, number) for number in range(len(user.tracks))]
        page = found[offset : offset + limit]
        if request.GET.get("linked_partitioning", "").lower() not in ("true", "1"):
            return webob.Response(json_body=page)
        query = f"linked_partitioning=true&limit={limit}&offset={offset + limit}"
        more = f"{request.path_url}?{query}" if offset + limit < len(found) else None
        return webob.Response(json_body={"collection": page, "next_href": more})

    def sign_out(self, request: webob.Request) -> webob.Response:
        """Revoke the grant of the token.

        The token is in the header or, as SoundCloud documents it, in a JSON body.
        """
        grant = self._oauth2.grant_of(_token(request) or _token_in_body(request))
        if grant is None:
            return _error(401, "Unauthorized")
        grant.revoked = True
        return webob.Response(json_body={})

    def _user(self, request: webob.Request) -> User | None:
        username = self._username(request)
        return self._state.users.get(username) if username else None

    def _username(self, request: webob.Request) -> str | None:
        if "oauth_consumer_key=" in request.headers.get("Authorization", ""):
            return self._oauth1.user_of(request)
        grant = self._oauth2.grant_of(_token(request))
        return grant.username if grant else None


def _token(request: webob.Request) -> str:
    """Return the token of ``Authorization: OAuth TOKEN`` or ``Bearer TOKEN``, or nothing."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip(" ") if scheme.lower() in ("oauth", "bearer") else ""


def _token_in_body(request: webob.Request) -> str:
    try:
        fields = json.loads(request.body)
    except (ValueError, RecursionError):
        return ""
    token = fields.get("access_token") if isinstance(fields, dict) else None
    return token if isinstance(token, str) else ""


def _error(status: int, text: str) -> webob.Response:
    fields = {
        "code": status,
        "message": text,
        "link": DOCUMENTATION,
        # Deprecated by SoundCloud, but still sent.
        "status": f"{status} - {text}",
        "errors": [],
        "error": None,
    }
    return webob.Response(json_body=fields, status=status)


def _profile(user: User, avatar_url: str) -> dict[str, Any]:
    private = sum(sharing == "private" for _, sharing in user.tracks)
    return {
        "avatar_url": avatar_url,
        "full_name": user.full_name,
        "id": user.number,
        "kind": "user",
        "permalink_url": f"https://soundcloud.com/{user.username}",
        "plan": "Free",
        "private_tracks_count": private,
        "track_count": len(user.tracks) - private,
        "urn": f"soundcloud:users:{user.number}",
        "username": user.username,
    }


def _track(user: User, number: int) -> dict[str, Any]:
    title, sharing = user.tracks[number]
    return {
        "created_at": "2026/01/15 12:00:00 +0000",
        "duration": 180_000 + 1000 * number,  # milliseconds
        "kind": "track",
        "permalink_url": f"https://soundcloud.com/{user.username}/track-{number}",
        "sharing": sharing,
        "title": title,
        "urn": f"soundcloud:tracks:{user.number * 100 + number}",
        "user": {"urn": f"soundcloud:users:{user.number}", "username": user.username},
    }
