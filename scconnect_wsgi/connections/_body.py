"""Read the one field that a page's script sends, in whichever of its forms: ``oauth_token_id``.

``fetch`` sends URLSearchParams as a form, FormData as multipart, and whatever a script writes as
JSON. Nothing is read beyond what the request announces, and nothing of a longer one.
"""

from __future__ import annotations

import json
from email import policy
from email.parser import BytesParser
from typing import TYPE_CHECKING, Any

from scconnect_wsgi.query import read_form

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

MAX_BODY = 4096  # bytes; multipart needs some 200 around an id
FIELD = "oauth_token_id"
FORMS = ("", "application/x-www-form-urlencoded", "text/plain")  # fetch sends a string as the last


class BadBodyError(ValueError):
    """The body of a request cannot be read. The message says why, for the developer of the page."""


def read_id(environ: WSGIEnvironment) -> str:
    """Return the ``oauth_token_id`` of a request. Raises BadBodyError."""
    content_type = str(environ.get("CONTENT_TYPE", ""))
    body = _read_body(environ)
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type == "application/json":
        id = _in_json(body)
    elif media_type == "multipart/form-data":
        id = _in_multipart(content_type, body)
    elif media_type in FORMS:
        id = _in_form(body)
    else:
        raise BadBodyError("Send a form, FormData or JSON.")
    if not isinstance(id, str) or not id:
        raise BadBodyError(f"The body holds no {FIELD}.")
    return id


def _read_body(environ: WSGIEnvironment) -> bytes:
    """Return the body as it was announced: by its length, or by a server that knows its end."""
    announced = str(environ.get("CONTENT_LENGTH") or "")
    length = _length(announced) if announced else 0
    if not announced and environ.get("wsgi.input_terminated"):  # a chunked request
        length = MAX_BODY + 1
    body = _read(environ["wsgi.input"], min(length, MAX_BODY + 1))
    if len(body) > MAX_BODY:
        raise BadBodyError(f"The body is longer than {MAX_BODY} bytes.")
    if announced and len(body) < length:
        raise BadBodyError("The body was cut off.")
    return body


def _length(announced: str) -> int:
    if not (announced.isascii() and announced.isdigit()):
        raise BadBodyError("The Content-Length is no number.")
    return int(announced[:10])  # of more digits, the first ten are too many as well


def _read(stream: Any, size: int) -> bytes:
    """Return so many bytes, or fewer if the stream ends before."""
    body = b""
    try:
        while len(body) < size and (chunk := stream.read(size - len(body))):
            body += chunk
    except (OSError, ValueError):  # the browser hung up, or its chunks cannot be read
        raise BadBodyError("The body was cut off.") from None
    return body


def _in_json(body: bytes) -> object:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        raise BadBodyError("The body is not JSON.") from None
    return found.get(FIELD) if isinstance(found, dict) else None


def _in_multipart(content_type: str, body: bytes) -> str | None:
    """Return the field of a FormData (RFC 7578), which is written as an e-mail message is."""
    head = f"Content-Type: {content_type}\r\n\r\n".encode("latin-1", "replace")
    try:
        values = _values_in_message(head + body)
    except Exception:  # of many kinds: the parser decodes headers in whatever way they ask for
        values = None
    if values is None:
        raise BadBodyError("The body is not multipart/form-data, or was cut off.")
    if len(values) != 1 or not isinstance(values[0], bytes):
        return None
    try:
        return values[0].decode("utf-8")
    except UnicodeDecodeError:
        raise BadBodyError("The body is not UTF-8.") from None


def _values_in_message(text: bytes) -> list[object] | None:
    """Return the values of the field, or None if the message is not a multipart one."""
    message = BytesParser(policy=policy.HTTP).parsebytes(text)
    if message.defects or not message.is_multipart():
        return None
    return [
        part.get_payload(decode=True)
        for part in message.iter_parts()
        if part.get_param("name", header="content-disposition") == FIELD
    ]


def _in_form(body: bytes) -> str | None:
    try:
        return read_form(body.decode("ascii")).get(FIELD)
    except ValueError:
        raise BadBodyError("The form cannot be read.") from None
