"""The part of SoundCloud's API that a connected site uses first.

That is the account, its tracks, playlists and likes, uploading, and looking an address up.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any, TypeVar
from urllib.parse import urlsplit

import webob

from scconnect_wsgi.query import with_query
from scconnect_wsgi.sandbox._api_errors import RefusedError, api_error
from scconnect_wsgi.sandbox._oauth1 import OAuth1Server
from scconnect_wsgi.sandbox._oauth2 import OAuth2Server
from scconnect_wsgi.sandbox._protocol_faults import has_no_quota
from scconnect_wsgi.sandbox._records import Playlist, Track, User
from scconnect_wsgi.sandbox._resources import (
    me_fields,
    playlist_fields,
    stream_fields,
    track_fields,
    tracks_seen_by,
    user_fields,
)
from scconnect_wsgi.sandbox._state import State
from scconnect_wsgi.sandbox._uploads import read_upload

LARGEST_PAGE = 200  # items; SoundCloud's own limit
SITES = ("soundcloud.com", "www.soundcloud.com", "m.soundcloud.com")
AVATAR = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 100 100">'
    '<rect width="100" height="100" fill="#f50"/>'
    '<circle cx="50" cy="38" r="18" fill="#fff"/>'
    '<path d="M14 100a36 36 0 0 1 72 0z" fill="#fff"/></svg>'
)
Item = TypeVar("Item")
Endpoint = Callable[[webob.Request, User], webob.Response]


class Api:
    """The endpoints that take an access token: in the Authorization header, never in a query.

    A resource is named by its urn or, as SoundCloud still allows, by its number.
    """

    def __init__(self, state: State, oauth1: OAuth1Server, oauth2: OAuth2Server) -> None:
        self._state = state
        self._oauth1 = oauth1
        self._oauth2 = oauth2

    def authorized(self, endpoint: Endpoint) -> Callable[[webob.Request], webob.Response]:
        """Return a handler that calls ``endpoint`` with the user of the token.

        It answers a request without a good token, and one that the endpoint refuses, with an error.
        Nothing of the body is read before the token was checked.
        """

        def handler(request: webob.Request) -> webob.Response:
            user = self._user(request)
            if user is None:
                return api_error(401)
            try:
                return endpoint(request, user)
            except RefusedError as refusal:
                return api_error(refusal.status, refusal.message)

        return handler

    def me(self, request: webob.Request, user: User) -> webob.Response:
        """Answer with the account of the token."""
        return webob.Response(json_body=me_fields(self._state, user, request.application_url))

    def user(self, request: webob.Request, viewer: User) -> webob.Response:
        """Answer with the account that the path names."""
        number = _number(request, "users")
        for user in list(self._state.users.values()):
            if user.number == number:
                fields = user_fields(self._state, user, request.application_url)
                return webob.Response(json_body=fields)
        raise RefusedError(404)

    def tracks(self, request: webob.Request, user: User) -> webob.Response:
        """Answer with a page of the user's tracks, private ones included."""
        mine = [track for track in list(self._state.tracks.values()) if track.owner == user]
        return self._page(request, mine, self._shown_track(request, user))

    def likes(self, request: webob.Request, user: User) -> webob.Response:
        """Answer with a page of the tracks that the user likes."""
        liked = self._state.likes.get(user.username, ())
        found = tracks_seen_by(self._state, liked, user)
        return self._page(request, found, self._shown_track(request, user))

    def playlists(self, request: webob.Request, user: User) -> webob.Response:
        """Answer with a page of the user's playlists, private ones included."""
        mine = [each for each in list(self._state.playlists.values()) if each.owner == user]
        return self._page(request, mine, self._shown_playlist(request, user))

    def playlist(self, request: webob.Request, viewer: User) -> webob.Response:
        """Answer with the playlist that the path names; only its owner may see a private one."""
        found = self._state.playlists.get(_number(request, "playlists"))
        if found is None or not found.is_seen_by(viewer):
            raise RefusedError(404)
        return webob.Response(json_body=self._shown_playlist(request, viewer)(found))

    def track(self, request: webob.Request, viewer: User) -> webob.Response:
        """Answer with the track that the path names; only its owner may see a private one."""
        found = self._track(request, viewer)
        return webob.Response(json_body=self._shown_track(request, viewer)(found))

    def streams(self, request: webob.Request, viewer: User) -> webob.Response:
        """Answer with the addresses of a track's streams."""
        fields = stream_fields(self._track(request, viewer), request.application_url)
        return webob.Response(json_body=fields)

    def upload(self, request: webob.Request, user: User) -> webob.Response:
        """Add a track to the account of the token."""
        if has_no_quota(request):
            raise RefusedError(422, "the account has no upload quota left")
        read = read_upload(request)
        track = self._state.add_track(
            user, read.title, read.sharing, duration=read.duration, details=read.details
        )
        return webob.Response(json_body=self._shown_track(request, user)(track), status=201)

    def resolve(self, request: webob.Request, viewer: User) -> webob.Response:
        """Redirect from an address on soundcloud.com to that of the API."""
        location = self._resolved(request.GET.get("url", ""), viewer, request.application_url)
        body = {"status": "302 - Found", "location": location}
        return webob.Response(json_body=body, status=302, location=location)

    def avatar(self, request: webob.Request) -> webob.Response:
        """Answer with the one picture that all accounts share."""
        return webob.Response(
            AVATAR, content_type="image/svg+xml", charset="utf-8", cache_control="max-age=60"
        )

    def sign_out(self, request: webob.Request) -> webob.Response:
        """Revoke the grant of the token.

        The token is in the header or, as SoundCloud documents it, in a JSON body.
        """
        grant = self._oauth2.grant_of(_token(request) or _token_in_body(request))
        if grant is None:
            return api_error(401)
        grant.revoked = True
        return webob.Response(json_body={})

    def _page(
        self,
        request: webob.Request,
        found: Sequence[Item],
        shown: Callable[[Item], dict[str, Any]],
    ) -> webob.Response:
        """Answer with a page of ``found``.

        It is a collection if ``linked_partitioning`` is set, else (deprecated) an array.
        """
        try:
            limit = int(request.GET.get("limit", "50"))
            offset = int(request.GET.get("offset", "0"))
        except ValueError:
            raise RefusedError(400, "limit and offset must be whole numbers") from None
        limit = min(max(limit, 1), LARGEST_PAGE)
        offset = max(offset, 0)
        page = [shown(item) for item in found[offset : offset + limit]]
        if request.GET.get("linked_partitioning", "").lower() not in ("true", "1"):
            return webob.Response(json_body=page)
        query = {**request.GET, "limit": str(limit), "offset": str(offset + limit)}
        more = with_query(request.path_url, query) if offset + limit < len(found) else None
        return webob.Response(json_body={"collection": page, "next_href": more})

    def _shown_track(
        self, request: webob.Request, viewer: User
    ) -> Callable[[Track], dict[str, Any]]:
        root = request.application_url
        return lambda track: track_fields(self._state, track, viewer, root)

    def _shown_playlist(
        self, request: webob.Request, viewer: User
    ) -> Callable[[Playlist], dict[str, Any]]:
        root = request.application_url
        show_tracks = request.GET.get("show_tracks", "true").lower() not in ("false", "0")
        return lambda playlist: playlist_fields(self._state, playlist, viewer, root, show_tracks)

    def _track(self, request: webob.Request, viewer: User) -> Track:
        found = self._state.tracks.get(_number(request, "tracks"))
        if found is None or not found.is_seen_by(viewer):
            raise RefusedError(404)
        return found

    def _resolved(self, url: str, viewer: User, root: str) -> str:
        """Return the API's address for one on soundcloud.com.

        Raises RefusedError if there is none.
        """
        path = _path_on_the_site(url)
        for user in list(self._state.users.values()):
            if path == user.username:
                return f"{root}/users/{user.urn}"
        for track in list(self._state.tracks.values()):
            if path == f"{track.owner.username}/{track.slug}" and track.is_seen_by(viewer):
                return f"{root}/tracks/{track.urn}"
        for playlist in list(self._state.playlists.values()):
            address = f"{playlist.owner.username}/sets/{playlist.slug}"
            if path == address and playlist.is_seen_by(viewer):
                return f"{root}/playlists/{playlist.urn}"
        raise RefusedError(404)

    def _user(self, request: webob.Request) -> User | None:
        username = self._username(request)
        return self._state.users.get(username) if username else None

    def _username(self, request: webob.Request) -> str | None:
        if "oauth_consumer_key=" in request.headers.get("Authorization", ""):
            return self._oauth1.user_of(request)
        grant = self._oauth2.grant_of(_token(request))
        return grant.username if grant else None


def _path_on_the_site(url: str) -> str:
    """Return the path of an address on soundcloud.com, without slashes around it.

    Raises RefusedError for any other address.
    """
    if not url:
        raise RefusedError(400, "url is missing")
    try:
        parts = urlsplit(url)
    except ValueError:
        raise RefusedError(404) from None
    if parts.scheme not in ("http", "https") or parts.hostname not in SITES:
        raise RefusedError(404)
    return parts.path.strip("/")


def _number(request: webob.Request, kind: str) -> int:
    """Return the number of the resource that the path names.

    Raises RefusedError if it names none.
    """
    text = str(request.urlvars["urn"]).removeprefix(f"soundcloud:{kind}:")
    if not (text.isascii() and text.isdigit()) or len(text) > 18:  # digits of a 64-bit number
        raise RefusedError(404)
    return int(text)


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
