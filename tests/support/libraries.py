"""A site whose page loads a library that fetches links, in place of the browser or ahead of it."""

from __future__ import annotations

from contextlib import contextmanager

from support.flows import flow_for
from support.site import Store, running_site

START = "/oauth/request_token?return_to=/done"
LINK = f'<a id="connect" href="{START}">Connect</a>'
# Each is put into the page's `library`: a bundler leaves out a module whose exports nobody uses.
TURBO = "import * as turbo from '@hotwired/turbo'; window.library = turbo;"
HTMX_2 = "import htmx from 'htmx2'; window.library = window.htmx = htmx;"
HTMX_4 = "import htmx from 'htmx4'; window.library = window.htmx = htmx;"
INSTANT_PAGE = "import 'instant.page'; window.library = true;"


@contextmanager
def shop(provider, script, body):
    page = (
        '<!DOCTYPE html><meta charset="utf-8"><title>A shop</title>'
        '<script type="module" src="/library.js"></script>'
        f'<body data-instant-allow-query-string><p style="height: 9rem" id="top">A shop</p>{body}'
    )
    files = {"/": ("text/html", page), "/library.js": ("text/javascript", script)}

    def app(environ, start_response):
        content_type, text = files.get(environ["PATH_INFO"], ("text/html", "<p id=done>"))
        start_response("200 OK", [("Content-Type", f"{content_type}; charset=utf-8")])
        return [text.encode()]

    with running_site(flow_for("oauth2", provider), app=app, store_token=Store()) as site:
        yield site
