"""Where the documentation is published, and the address of its entry about a failure."""

from __future__ import annotations

SITE = "https://scconnect-wsgi.readthedocs.io/en/stable/"


def page(name: str) -> str:
    """Return the address of a page of ``docs/``, which is given without its extension."""
    return f"{SITE}{name}.html"


def entry(name: str) -> str:
    """Return the address of an entry of ``docs/troubleshooting.md``.

    ``name`` is the code of an error, or the title of one of our own pages. The entry's heading is
    the same in words: "Flow expired" for ``flow_expired``.
    """
    anchor = name.lower().replace("_", "-").replace(" ", "-")
    return f"{page('troubleshooting')}#{anchor}"
