"""Section 1: what a request costs that is not ours.

Judged is the time over that of the bare application.
"""

from __future__ import annotations

from pathlib import Path

from measure import Row, interleaved, main, nanoseconds
from whitenoise import WhiteNoise
from wsgi import bare, ours, request

ASSETS = Path(__file__).parent.parent / "assets"
# Before and after /sc-connect/ in the alphabet: ours compares once for the one, twice for the
# other.
PATHS = ("/account", "/users")


class LookUp:
    """The least that an object can do which answers some paths itself: one call, one look-up."""

    def __init__(self, app, routes):
        self.app = app
        self.routes = routes

    def __call__(self, environ, start_response):
        answer = self.routes.get(environ["PATH_INFO"])
        if answer is not None:
            return answer(environ, start_response)
        return self.app(environ, start_response)


def rows(quick: bool) -> list[Row]:
    count, rounds = (1_000, 1) if quick else (20_000, 60)
    routes = dict.fromkeys(
        ("/oauth/request_token", "/oauth/access_token", "/sc-connect/close.html"), bare
    )
    apps = {
        "bare": bare,
        "ours": ours(),
        "class": LookUp(bare, routes),
        "whitenoise": WhiteNoise(bare, root=str(ASSETS), prefix="sc-connect/"),
    }
    table = []
    for path in PATHS:
        environ = request(path)
        found = interleaved(
            {name: nanoseconds(app, environ, count) for name, app in apps.items()}, rounds
        )
        over = {name: time - found["bare"] for name, time in found.items()}
        what = f"passing `{path}` through"
        table.append(Row(what, over["ours"], "a class with `dict.get`", over["class"], 1.15, "ns"))
        table.append(Row(what, over["ours"], "WhiteNoise", over["whitenoise"], 0.5, "ns"))
    return table


if __name__ == "__main__":
    main(rows)
