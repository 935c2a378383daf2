"""A server that takes uploads of any length: it counts them, and keeps their beginnings."""

from __future__ import annotations

import hashlib
import io
from contextlib import contextmanager
from types import SimpleNamespace

import webob

from support.wire import answer, wire

KEPT = 65_536  # bytes of the beginning of a body that are kept
TRACK = answer(b'{"urn": "soundcloud:tracks:1"}', status="201 Created")


def read_head(connection):
    """Read a request up to its body. Return None if the other side hung up."""
    line = connection.stream.readline().decode("latin-1").strip()
    if not line:
        return None
    headers = {}
    while field := connection.stream.readline().decode("latin-1").strip():
        name, _, value = field.partition(":")
        headers[name.lower()] = value.strip()
    return SimpleNamespace(
        line=line,
        headers=headers,
        length=int(headers.get("content-length", 0)),
        received=0,
        is_complete=False,
    )


def read_body(connection, upload, at_most=None):
    """Read a body, or ``at_most`` bytes of it; ``upload`` gets what is known of it then."""
    digest = hashlib.sha256()
    upload.start = b""
    end = upload.length if at_most is None else at_most
    while upload.received < end:
        data = connection.stream.read1(min(1 << 20, end - upload.received))
        if not data:
            break
        upload.start += data[: max(0, KEPT - len(upload.start))]
        digest.update(data)
        upload.received += len(data)
    upload.is_complete = upload.received == upload.length
    upload.digest = digest.hexdigest()
    return upload


class Sink:
    """Answers each request with the next of ``answers``, and the last one from then on.

    An answer is bytes, or a function of connection and upload that reads the body itself.
    """

    def __init__(self, *answers):
        self.url = ""
        self.answers = list(answers) or [TRACK]
        self.requests = []

    def __call__(self, connection):
        while upload := read_head(connection):
            self.requests.append(upload)
            given = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
            if callable(given):
                given(connection, upload)
            else:
                read_body(connection, upload)
                if not upload.is_complete:
                    return
                connection.send(given)

    @property
    def uploads(self):
        """The POSTs to /tracks, complete or not."""
        return [each for each in self.requests if each.line.startswith("POST /tracks ")]


@contextmanager
def sink(*answers, tls=None):
    """Run a Sink until the block ends; it has the ``url`` of its server."""
    taker = Sink(*answers)
    with wire(taker, tls) as server:
        taker.url = server.url
        yield taker


def form(upload):
    """Return what webob, which shares no code with us, reads from a short upload."""
    environ = {
        "REQUEST_METHOD": "POST",
        "CONTENT_TYPE": upload.headers["content-type"],
        "CONTENT_LENGTH": str(upload.length),
        "wsgi.input": io.BytesIO(upload.start),
    }
    return {name: _read(value) for name, value in Form(environ).POST.items()}


class Form(webob.Request):
    request_body_tempfile_limit = KEPT


def _read(value):
    if isinstance(value, str):
        return value
    with value.file:
        return value.filename, value.type, value.file.read()
