"""The names and types of what SoundCloud's API answers, as its description (OpenAPI) has them.

They are facts of openapi/api.yaml in the repository soundcloud/api, read in November 2026 and
written down here in a form of our own. A field that is not named is not in the description. None of
them is required there.
"""

from __future__ import annotations

from typing import Any

TEXT, WHOLE, NUMBER, FLAG = "text", "whole number", "number", "flag"
KINDS: dict[str, Any] = {TEXT: str, WHOLE: int, NUMBER: (int, float), FLAG: bool}


class Nullable:
    """A type whose value may also be null."""

    def __init__(self, kind):
        self.kind = kind


def _of(kind, names):
    return dict.fromkeys(names.split(), kind)


ERROR = {
    **_of(TEXT, "link message status"),
    "code": WHOLE,
    "error": Nullable(TEXT),
    "errors": [TEXT],
}
FOUND = _of(TEXT, "location status")
_PERSON = {
    **_of(
        TEXT,
        "avatar_url city country created_at description discogs_name first_name full_name kind"
        " last_modified last_name permalink permalink_url plan uri urn username website"
        " website_title",
    ),
    **_of(
        WHOLE,
        "followers_count followings_count playlist_count public_favorites_count reposts_count"
        " track_count",
    ),
    "subscriptions": [{"product": _of(TEXT, "id name"), "recurring": FLAG}],
}
USER = _PERSON
ME = {
    **_PERSON,
    **_of(WHOLE, "comments_count likes_count private_playlists_count private_tracks_count"),
    **_of(FLAG, "online primary_email_confirmed"),
    "locale": Nullable(TEXT),
    "upload_seconds_left": Nullable(WHOLE),
    "quota": {
        "unlimited_upload_quota": FLAG,
        "upload_seconds_used": WHOLE,
        "upload_seconds_left": Nullable(WHOLE),
    },
}
TRACK = {
    **_of(
        TEXT,
        "artwork_url available_country_codes created_at description embeddable_by genre isrc"
        " key_signature kind label_name license metadata_artist permalink_url purchase_title"
        " purchase_url release secret_uri sharing stream_url tag_list title uri urn waveform_url",
    ),
    **_of(
        WHOLE,
        "comment_count download_count duration favoritings_count playback_count release_day"
        " release_month release_year reposts_count user_playback_count",
    ),
    **_of(FLAG, "commentable downloadable reveal_comments reveal_stats streamable user_favorite"),
    **_of(Nullable(TEXT), "access download_url"),
    "bpm": NUMBER,
    "user": USER,
}
PLAYLIST = {
    **_of(
        TEXT,
        "artwork_url created_at description ean embeddable_by genre kind label_name last_modified"
        " license permalink permalink_url playlist_type purchase_title purchase_url release sharing"
        " tag_list title type uri urn user_urn",
    ),
    **_of(
        WHOLE, "duration label_id likes_count release_day release_month release_year track_count"
    ),
    **_of(FLAG, "downloadable streamable"),
    **_of(Nullable(TEXT), "tags tracks_uri"),
    "label": Nullable(USER),
    "tracks": [TRACK],
    "user": USER,
}
STREAMS = _of(TEXT, "hls_aac_160_url hls_mp3_128_url http_mp3_128_url preview_mp3_128_url")


def collection(item):
    """A page of a collection.

    The description does not say that ``next_href`` may be null, as it is on the last page.
    """
    return {"collection": [item], "next_href": Nullable(TEXT)}


# What SoundCloud still sends, but has taken out of the description.
DEPRECATED = {"id"}


def differences(value: Any, kind: Any, at: str = "$") -> list[str]:
    """Return what an answer has that the description does not allow."""
    if isinstance(kind, Nullable):
        return [] if value is None else differences(value, kind.kind, at)
    if isinstance(kind, dict):
        if not isinstance(value, dict):
            return [f"{at} is no object"]
        unknown = value.keys() - kind.keys() - DEPRECATED
        found = [f"{at}.{name} is not in the description" for name in sorted(unknown)]
        for name in sorted(kind.keys() & value.keys()):
            found += differences(value[name], kind[name], f"{at}.{name}")
        return found
    if isinstance(kind, list):
        if not isinstance(value, list):
            return [f"{at} is no array"]
        each = [differences(item, kind[0], f"{at}[{n}]") for n, item in enumerate(value)]
        return [difference for found in each for difference in found]
    right = isinstance(value, KINDS[kind]) and (kind == FLAG or not isinstance(value, bool))
    return [] if right else [f"{at} is {type(value).__name__}, not {kind}"]
