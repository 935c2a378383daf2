"""Section 2: a browser file from memory, whole (200) and known already (304).

The floor is a prepared answer: the path is looked up, gzip is taken where the word stands in
Accept-Encoding, If-None-Match is compared with the one ETag, and a list of headers that was made
beforehand is given away. It reads neither `gzip;q=0` nor `*` nor a list of tags as they are meant.
"""

from __future__ import annotations

from measure import Row, interleaved, main, nanoseconds
from passing_through import ASSETS
from whitenoise import WhiteNoise
from wsgi import answer, bare, ours, read, request

PATH = "/sc-connect/sc-connect.js"


class Prepared:
    """The floor."""

    def __init__(self, app, kinds):
        self.app = app
        self.files = {PATH: kinds}

    def __call__(self, environ, start_response):
        kinds = self.files.get(environ["PATH_INFO"])
        if kinds is None:
            return self.app(environ, start_response)
        etag, full, short, body = kinds["gzip" in environ.get("HTTP_ACCEPT_ENCODING", "")]
        if environ.get("HTTP_IF_NONE_MATCH") == etag:
            start_response("304 Not Modified", short)
            return []
        start_response("200 OK", full)
        return [body]


def prepared() -> Prepared:
    """The floor with the very headers and bodies that ours answers with."""
    kinds = []
    for encoding in ("identity", "gzip"):
        _, full, body = answer(ours(), request(PATH, HTTP_ACCEPT_ENCODING=encoding))
        etag = dict(full)["ETag"]
        _, short, _ = answer(
            ours(), request(PATH, HTTP_ACCEPT_ENCODING=encoding, HTTP_IF_NONE_MATCH=etag)
        )
        kinds.append((etag, full, short, body))
    return Prepared(bare, kinds)


class Read:
    """An application whose body is read and closed, as WhiteNoise's must be: it is an open file."""

    def __init__(self, app):
        self.app = app

    def __call__(self, environ, start_response):
        read(self.app(environ, start_response))


def known(app) -> dict:
    """A request for a file that the browser has: with the ETag this application gave it."""
    environ = request(PATH)
    environ["HTTP_IF_NONE_MATCH"] = dict(answer(app, environ)[1])["ETag"]
    return environ


def rows(quick: bool) -> list[Row]:
    count, rounds = (200, 1) if quick else (5_000, 30)
    floor = prepared()
    mine = ours()
    peer = WhiteNoise(bare, root=str(ASSETS), prefix="sc-connect/")
    apps = {
        "floor": (floor, floor),
        "ours": (mine, mine),
        "read": (mine, Read(mine)),
        "whitenoise": (peer, Read(peer)),
    }
    table = []
    for status, limit in (("200", 0.1), ("304", 1.0)):
        variants = {}
        for name, (app, called) in apps.items():
            environ = known(app) if status == "304" else request(PATH)
            assert answer(app, environ)[0].startswith(status)
            variants[name] = nanoseconds(called, environ, count)
        found = {name: time / 1000 for name, time in interleaved(variants, rounds).items()}
        what = f"a browser file, {status}"
        table.append(Row(what, found["ours"], "a prepared answer", found["floor"], 2.0, "us"))
        table.append(Row(what, found["read"], "WhiteNoise", found["whitenoise"], limit, "us"))
    return table


if __name__ == "__main__":
    main(rows)
