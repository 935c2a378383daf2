"""What the API says of users, tracks and playlists.

Names and types of the fields are those of SoundCloud's published description, and a test compares
them. A text that SoundCloud might leave null is empty here, because the description calls it a
string. ``root`` is the address of the API.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from scconnect_wsgi.sandbox._records import Playlist, Track, User
from scconnect_wsgi.sandbox._state import State

WEB = "https://soundcloud.com"
JOINED = 1_736_942_400.0  # seconds since the epoch; when every account was made


def user_fields(state: State, user: User, root: str) -> dict[str, Any]:
    """Return what everybody may know of a user."""
    first, _, last = user.full_name.partition(" ")
    tracks = [track for track in list(state.tracks.values()) if track.owner == user]
    playlists = [each for each in list(state.playlists.values()) if each.owner == user]
    return {
        "avatar_url": f"{root}/avatar.svg",
        "city": "Berlin",
        "country": "Germany",
        "created_at": _date(JOINED),
        "description": "",
        "discogs_name": "",
        "first_name": first,
        "followers_count": 0,
        "followings_count": 0,
        "full_name": user.full_name,
        "id": user.number,  # deprecated by SoundCloud, but still sent
        "kind": "user",
        "last_modified": _date(JOINED),
        "last_name": last,
        "permalink": user.username,
        "permalink_url": f"{WEB}/{user.username}",
        "plan": "Free",
        "playlist_count": sum(each.sharing == "public" for each in playlists),
        "public_favorites_count": len(state.likes.get(user.username, ())),
        "reposts_count": 0,
        "subscriptions": [],
        "track_count": sum(track.sharing == "public" for track in tracks),
        "uri": f"{root}/users/{user.urn}",
        "urn": user.urn,
        "username": user.username,
        "website": "",
        "website_title": "",
    }


def me_fields(state: State, user: User, root: str) -> dict[str, Any]:
    """Return what users may know of themselves."""
    tracks = [track for track in list(state.tracks.values()) if track.owner == user]
    playlists = [each for each in list(state.playlists.values()) if each.owner == user]
    return {
        **user_fields(state, user, root),
        "comments_count": 0,
        "likes_count": len(state.likes.get(user.username, ())),
        "locale": None,
        "online": True,
        "primary_email_confirmed": True,
        "private_playlists_count": sum(each.sharing == "private" for each in playlists),
        "private_tracks_count": sum(track.sharing == "private" for track in tracks),
        "quota": {
            "unlimited_upload_quota": True,
            "upload_seconds_used": sum(track.duration for track in tracks) // 1000,
            "upload_seconds_left": None,
        },
        "upload_seconds_left": None,
    }


def track_fields(state: State, track: Track, viewer: User, root: str) -> dict[str, Any]:
    """Return what ``viewer``, who may see the track, is told of it."""
    uri = f"{root}/tracks/{track.urn}"
    page = f"{WEB}/{track.owner.username}/{track.slug}"
    fields = {
        "access": "playable",
        "artwork_url": "",
        "available_country_codes": "",
        "bpm": 120.0,
        "comment_count": 0,
        "commentable": True,
        "created_at": _date(track.created_at),
        "description": "",
        "download_count": 0,
        "download_url": None,
        "downloadable": False,
        "duration": track.duration,
        "embeddable_by": "all",
        "favoritings_count": sum(track.number in liked for liked in list(state.likes.values())),
        "genre": "",
        "isrc": "",
        "key_signature": "",
        "kind": "track",
        "label_name": "",
        "license": "all-rights-reserved",
        "metadata_artist": "",
        "permalink_url": page,
        "playback_count": 0,
        "purchase_title": "",
        "purchase_url": "",
        "release": "",
        "reposts_count": 0,
        "reveal_comments": True,
        "reveal_stats": True,
        "sharing": track.sharing,
        "stream_url": f"{uri}/stream",
        "streamable": True,
        "tag_list": "",
        "title": track.title,
        "uri": uri,
        "urn": track.urn,
        "user": user_fields(state, track.owner, root),
        "user_favorite": track.number in state.likes.get(viewer.username, ()),
        "user_playback_count": 0,
        "waveform_url": "",
        **{name: value for name, value in track.details.items() if name != "permalink"},
    }
    if track.sharing == "private":
        fields["secret_uri"] = f"{uri}?secret_token=s-{track.number}"
    return fields


def playlist_fields(
    state: State, playlist: Playlist, viewer: User, root: str, show_tracks: bool
) -> dict[str, Any]:
    """Return what ``viewer``, who may see the playlist, is told of it."""
    uri = f"{root}/playlists/{playlist.urn}"
    tracks = tracks_seen_by(state, playlist.tracks, viewer)
    fields = {
        "artwork_url": "",
        "created_at": _date(JOINED),
        "description": "",
        "downloadable": False,
        "duration": sum(track.duration for track in tracks),
        "ean": "",
        "embeddable_by": "all",
        "genre": "",
        "kind": "playlist",
        "label_name": "",
        "last_modified": _date(JOINED),
        "license": "all-rights-reserved",
        "likes_count": 0,
        "permalink": playlist.slug,
        "permalink_url": f"{WEB}/{playlist.owner.username}/sets/{playlist.slug}",
        "playlist_type": "",
        "purchase_title": "",
        "purchase_url": "",
        "release": "",
        "sharing": playlist.sharing,
        "streamable": True,
        "tag_list": "",
        "tags": "",
        "title": playlist.title,
        "track_count": len(tracks),
        "tracks_uri": f"{uri}/tracks",
        "type": "",
        "uri": uri,
        "urn": playlist.urn,
        "user": user_fields(state, playlist.owner, root),
        "user_urn": playlist.owner.urn,
    }
    if show_tracks:
        fields["tracks"] = [track_fields(state, track, viewer, root) for track in tracks]
    return fields


def stream_fields(track: Track, root: str) -> dict[str, str]:
    """Return the addresses of a track's streams, at which the sandbox plays nothing."""
    streams = f"{root}/tracks/{track.urn}/streams/{track.number}"
    return {
        "hls_aac_160_url": f"{streams}/hls-aac",
        "hls_mp3_128_url": f"{streams}/hls",
        "http_mp3_128_url": f"{streams}/http",
        "preview_mp3_128_url": f"{streams}/preview",
    }


def tracks_seen_by(state: State, numbers: tuple[int, ...], viewer: User) -> list[Track]:
    """Return those of the numbered tracks that ``viewer`` may see."""
    found = [state.tracks.get(number) for number in numbers]
    return [track for track in found if track is not None and track.is_seen_by(viewer)]


def _date(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y/%m/%d %H:%M:%S +0000")
