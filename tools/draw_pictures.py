"""Draw the diagrams of the documentation: PYTHONPATH=. python tools/draw_pictures.py

Writes docs/pictures/*.svg. The addresses, codes and rooms in them come from the package, and
tests/docs/test_pictures.py fails if a picture is older than they are. Light or dark, they follow
the page they are on.
"""

from __future__ import annotations

import pathlib
from collections.abc import Iterable
from html import escape

from scconnect_wsgi import HAND_OVER, OAuth2, SCConnect
from scconnect_wsgi.connections._refresh import ENDINGS, MARGIN

PICTURES = pathlib.Path(__file__).parent.parent / "docs" / "pictures"
WIDTH = 520  # as wide as a phone can show with letters that are still readable
STYLE = """
    svg { --ink: #1f1b18; --soft: #6a625b; --line: #8c847d; --plate: #f6f3f0; --band: #fdf0e8;
          --accent: #b23600; --paper: #fff }
    @media (prefers-color-scheme: dark) {
      svg { --ink: #f3efec; --soft: #b3aaa3; --line: #8f8780; --plate: #26221f; --band: #2a211b;
            --accent: #ff8a4c; --paper: #131416 }
    }
    text { font: 14px system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif; fill: var(--ink) }
    .title { font-weight: 600; font-size: 15px }
    .code { font: 13px ui-monospace, SFMono-Regular, Menlo, Consolas, monospace }
    .soft { fill: var(--soft); font-size: 13px }
    .accent { fill: var(--accent) }
    .middle { text-anchor: middle }
    .end { text-anchor: end }
    .halo { paint-order: stroke; stroke: var(--paper); stroke-width: 6px; stroke-linejoin: round }
    .on-band { stroke: var(--band) }
    .band { fill: var(--band) }
    .plate { fill: var(--plate); stroke: var(--line) }
    .own { fill: var(--band); stroke: var(--accent) }
    .life { stroke: var(--line); stroke-dasharray: 3 4 }
    .arrow { fill: none; stroke: var(--ink); stroke-width: 1.5; marker-end: url(#head) }
    .back { stroke-dasharray: 6 4 }
    #head path { fill: var(--ink) }
"""
HEAD = (
    '<marker id="head" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="8" markerHeight="8" '
    'orient="auto-start-reverse"><path d="M0 0 10 5 0 10z"/></marker>'
)

# From the top down: what a room may import is in its own row or below it.
ROWS = (
    ("Programs", ("__main__", "cli", "check", "demo")),
    ("Without code", ("config",)),
    ("For tests", ("testing", "sandbox")),
    ("Stored tokens", ("connections", "login", "stores", "django")),
    ("Public names", ("__init__",)),
    ("One flow", ("middleware", "assets")),
    ("The provider", ("protocols", "flow", "transport")),
    (
        "Used by all",
        (
            "errors",
            "events",
            "token",
            "account",
            "provider",
            "encryption",
            "keys",
            "urls",
            "query",
            "numeric",
            "users",
            "callables",
            "nesting",
            "redaction",
            "documentation",
        ),
    ),
)
ROOM_NAMES = {"__init__": "scconnect_wsgi", "__main__": "python -m"}


def text(x: float, y: float, words: str, *classes: str) -> str:
    """Return one line of text."""
    return f'<text x="{x:g}" y="{y:g}" class="{" ".join(classes)}">{escape(words)}</text>'


def box(x: float, y: float, width: float, height: float, kind: str = "plate") -> str:
    """Return a rounded box."""
    return (
        f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="6" class="{kind}"/>'
    )


def arrow(path: str, *classes: str) -> str:
    """Return an arrow along a path."""
    return f'<path d="{path}" class="{" ".join(("arrow", *classes))}"/>'


def picture(height: float, title: str, parts: Iterable[str]) -> str:
    """Return the SVG file of a picture."""
    lines = "\n".join(f"  {part}" for part in parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height:g}" '
        f'viewBox="0 0 {WIDTH} {height:g}" role="img" aria-label="{escape(title)}">\n'
        f"  <!-- Drawn by tools/draw_pictures.py -->\n"
        f"  <style>{STYLE}  </style>\n  {HEAD}\n{lines}\n</svg>\n"
    )


def routes() -> tuple[str, str, str]:
    """Return the three addresses that a flow passes, from a middleware's own table."""
    site = SCConnect(
        lambda environ, start_response: [],
        OAuth2("client", "a secret of the client's"),
        secret_key="a key that nobody uses: 0123456789 abcdef",  # noqa: S106  # signs nothing
        store_token=HAND_OVER,
    )
    addresses = list(site._routes)
    (close,) = (path for path in addresses if path.endswith("/close.html"))
    return addresses[0], addresses[1], close


def flow() -> str:
    """Return the way of one flow, from the click to the page's callback."""
    start, callback, close = routes()
    browser, server, provider = 74, 262, 450
    steps = (
        # from, to, what is sent, what it means
        (browser, server, start, "the click opens a popup"),
        (server, browser, "303, signed cookies", "state and PKCE verifier"),
        (browser, provider, "the page of SoundCloud", "log in, and allow or deny"),
        (provider, browser, "303, a code", "back to the callback URL"),
        (browser, server, callback, "with the cookies"),
        (server, provider, "code + verifier", "over TLS, once"),
        (provider, server, "access token", "and a refresh token"),
        (server, server, "store_token(token, request)", "yours: returns fields for the page"),
        (server, browser, close.rpartition("/")[2] + "?fields", close),
        (browser, browser, "callback(fields)", "the popup closes"),
    )
    top, step = 72, 58
    bottom = top + step * len(steps)
    parts = [box(server - 84, 4, 168, bottom - 4, "band")]
    for x, name, below in (
        (browser, "Browser", "page and popup"),
        (server, "Your server", "scconnect-wsgi"),
        (provider, "SoundCloud", ""),
    ):
        parts += [
            box(x - 66, 12, 132, 44),
            text(x, 31 if below else 39, name, "title", "middle"),
            f'<path d="M{x} 56V{bottom - 8}" class="life"/>',
        ]
        if below:
            parts.append(text(x, 48, below, "soft", "middle"))
    for number, (begin, end, sent, meaning) in enumerate(steps):
        y = top + step * number + 34
        if begin == end:
            parts += own_step(begin, y, sent, meaning)
        else:
            parts += message(begin, end, y, sent, meaning, goes_back=begin > end)
    return picture(bottom, "The way of one flow, from the click to the page's callback", parts)


def message(
    begin: float, end: float, y: float, sent: str, meaning: str, *, goes_back: bool
) -> list[str]:
    """Return an arrow from one lane to another, with what is sent above it."""
    middle = (begin + end) / 2
    tip = end + (4 if goes_back else -4)
    crosses = ("halo", "on-band") if abs(end - begin) > WIDTH / 2 else ()
    return [
        arrow(f"M{begin:g} {y}H{tip:g}", *(["back"] if goes_back else [])),
        text(middle, y - 7, sent, "code", "middle", *crosses),
        text(middle, y + 16, meaning, "soft", "middle", *crosses),
    ]


def own_step(x: float, y: float, sent: str, meaning: str) -> list[str]:
    """Return a box on a lane: a callable of the site's own is called."""
    width = max(len(sent) * 7.9, len(meaning) * 6.4) + 20
    left = max(4, x - width / 2)
    return [
        box(left, y - 24, width, 46, "own"),
        text(left + width / 2, y - 5, sent, "code", "middle", "accent"),
        text(left + width / 2, y + 14, meaning, "soft", "middle"),
    ]


def token() -> str:
    """Return the life of a stored token, from the connection to its end."""
    meanings = {
        "connection_revoked": "the user took the permission back",
        "refresh_lost": "the new token never arrived",
    }
    left, right, middle = 118, 402, 260
    ended = 306
    gone = ended + 50 + 46 * len(ENDINGS) + 28
    parts = [
        text(middle, 22, "the user presses the button", "soft", "middle"),
        arrow(f"M{middle} 32V62"),
        state(66, 64, "Connected", "works for about an hour", "own"),
        # The refresh: out of the box at its right, and back into it
        arrow(f"M{middle + 90} 134V178"),
        arrow(f"M{middle - 90} 182V134"),
        text(middle, 163, "again and again", "soft", "middle"),
        state(182, 64, "Refreshed once", f"{MARGIN} seconds before the hour ends"),
        arrow(f"M{middle} 250V{ended - 4}"),
        text(middle, 281, "the provider refuses for good", "soft", "middle", "halo"),
        state(ended, gone - ended - 28, "Ended"),
    ]
    for row, code in enumerate(ENDINGS):
        y = ended + 54 + 46 * row
        parts.append(text(middle, y, code, "code", "accent", "middle"))
        parts.append(text(middle, y + 20, meanings[code], "soft", "middle"))
    parts += [
        # Back to life, along the left edge
        arrow(f"M{left - 4} {ended + 46}H34V98H{left - 6}"),
        text(6, 206, "connect again", "soft", "halo"),
        text(6, 224, "or revive()", "soft", "halo"),
        # Disconnected, along the right edge
        arrow(f"M{right + 4} 98H486V{gone + 32}H{right + 6}"),
        text(514, 216, "disconnect()", "soft", "halo", "end"),
        state(gone, 64, "Gone", "deleted here, then the provider is told"),
    ]
    return picture(gone + 70, "The life of a stored token", parts)


def state(y: float, height: float, name: str, below: str = "", kind: str = "plate") -> str:
    """Return a state of a token: a box with a name, and a line below the name."""
    return "\n  ".join(
        [
            box(118, y, 284, height, kind),
            text(260, y + 27, name, "title", "middle"),
            *([text(260, y + 49, below, "soft", "middle")] if below else []),
        ]
    )


def rooms() -> str:
    """Return the rooms of the package: each may import what is in its own row or below it."""
    parts = [text(10, 20, "A room imports from its own row, and from those below it.", "soft")]
    y = 36.0
    for label, names in ROWS:
        lines = [names[first : first + 3] for first in range(0, len(names), 3)]
        height = 14 + 36 * len(lines)
        parts += [box(4, y, WIDTH - 8, height, "band"), text(16, y + 31, label, "soft")]
        for row, line in enumerate(lines):
            for column, name in enumerate(line):
                x = 158 + 118 * column
                top = y + 8 + 36 * row
                parts += [
                    box(x, top, 112, 29),
                    text(x + 56, top + 19, ROOM_NAMES.get(name, name), "code", "middle"),
                ]
        y += height + 10
    return picture(y, "The rooms of the package, from programs to what all of them use", parts)


DRAWINGS = {"flow": flow, "token": token, "rooms": rooms}


def main() -> None:
    """Write every picture."""
    for name, draw in DRAWINGS.items():
        (PICTURES / f"{name}.svg").write_text(draw(), "utf-8")


if __name__ == "__main__":
    main()
