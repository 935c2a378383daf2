"""Read the track that an upload brings: multipart/form-data, a form, or JSON.

The audio itself is measured and thrown away.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import date
from typing import Any

import webob
from webob.request import DisconnectionError

from scconnect_wsgi.sandbox._api_errors import RefusedError

LARGEST_UPLOAD = 4 * 1024**3  # bytes of a file; SoundCloud's own limit
LARGEST_REST = 16 * 1024**2  # bytes of everything else in the request
BYTES_PER_SECOND = 176_400  # of audio on a CD: the sandbox takes the duration from the size
TEXTS = (
    "description",
    "genre",
    "isrc",
    "label_name",
    "permalink",
    "purchase_url",
    "release",
    "tag_list",
)
FLAGS = ("commentable", "downloadable", "reveal_comments", "reveal_stats", "streamable")
# What webob raises for a body that is not what it says, in a charset that nobody knows or is not
# UTF-8, or cut off
UNREADABLE = (
    AttributeError,
    DeprecationWarning,
    DisconnectionError,
    LookupError,
    RecursionError,
    ValueError,
)
CHOICES = {
    "sharing": ("public", "private"),
    "embeddable_by": ("all", "me", "none"),
    "license": (
        "no-rights-reserved",
        "all-rights-reserved",
        "cc-by",
        "cc-by-nc",
        "cc-by-nd",
        "cc-by-sa",
        "cc-by-nc-nd",
        "cc-by-nc-sa",
    ),
}


@dataclass(frozen=True)
class Upload:
    """A track that was uploaded. ``duration`` is in milliseconds."""

    title: str
    sharing: str
    duration: int
    details: dict[str, Any]


def read_upload(request: webob.Request) -> Upload:
    """Return what a request uploads. Raises RefusedError if it is not a track."""
    try:
        return _checked(_fields(request))
    finally:
        if request.is_body_seekable:  # webob has put it into a file
            request.body_file_raw.close()  # type: ignore[attr-defined]


def _checked(fields: dict[str, Any]) -> Upload:
    title = fields.get("title")
    if not isinstance(title, str) or not title.strip():
        raise RefusedError(422, "track[title] is missing")
    size = _size(fields.get("asset_data"))
    if not size:
        raise RefusedError(422, "track[asset_data] is missing or empty")
    if size > LARGEST_UPLOAD:
        raise RefusedError(413, "track[asset_data] is larger than 4 GB")
    details = _details(fields)
    _refuse_half_characters([title, *details.values()])
    sharing = details.pop("sharing", "public")
    return Upload(title, sharing, max(1, size * 1000 // BYTES_PER_SECOND), details)


def _fields(request: webob.Request) -> dict[str, Any]:
    """Return the fields of a track by their names, without ``track[...]`` around them."""
    try:
        if request.content_type == "application/json":
            track = request.json_body.get("track")
            return {name: value for name, value in track.items() if value is not None}
        given = request.POST.items()
    except UNREADABLE:
        raise RefusedError(400, "the body cannot be read") from None
    return {
        name[len("track[") : -1]: value
        for name, value in given
        if name and name.startswith("track[") and name.endswith("]")
    }


def _size(asset: Any) -> int:
    """Return the length of the audio: a file, or a text in place of one."""
    if isinstance(asset, str):
        return len(asset.encode(errors="surrogatepass"))
    if not hasattr(asset, "file"):
        return 0
    return int(asset.file.seek(0, os.SEEK_END))


def _details(fields: dict[str, Any]) -> dict[str, Any]:
    """Return the fields that the API shows again.

    Raises RefusedError for one with a wrong value.
    """
    details: dict[str, Any] = {}
    for name in TEXTS:
        if isinstance(fields.get(name), str):
            details[name] = fields[name]
    for name in FLAGS:
        if name in fields:
            details[name] = str(fields[name]).lower() in ("true", "1")
    for name, allowed in CHOICES.items():
        if name in fields:
            if fields[name] not in allowed:
                raise RefusedError(422, f"track[{name}] must be one of {', '.join(allowed)}")
            details[name] = fields[name]
    return {**details, **_release_day(fields.get("release_date"))}


def _refuse_half_characters(values: list[Any]) -> None:
    """Raise RefusedError for half of a surrogate pair, which JSON can spell and no page can show.

    The audio may hold one: it is only measured.
    """
    try:
        "".join(value for value in values if isinstance(value, str)).encode()
    except UnicodeEncodeError:
        raise RefusedError(400, "the body cannot be read") from None


def _release_day(text: Any) -> dict[str, int]:
    if not text:
        return {}
    try:
        day = date.fromisoformat(str(text)[:10])
    except ValueError:
        raise RefusedError(422, "track[release_date] must be yyyy-mm-dd") from None
    return {"release_day": day.day, "release_month": day.month, "release_year": day.year}
