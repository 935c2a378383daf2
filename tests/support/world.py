"""A site and a provider, two sites to a browser, for tests of the browser files only.

The site serves the files of assets/ and pages that tests write; no middleware takes part.
"""

from __future__ import annotations

import wsgiref.simple_server
from contextlib import contextmanager
from socketserver import ThreadingMixIn
from threading import Thread
from urllib.parse import parse_qs, urlencode

from support.paths import CHECKOUT
from support.site import JOE

ASSETS = CHECKOUT / "assets"
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript",
    ".css": "text/css",
    ".png": "image/png",
}
NAUGHTY = {
    "space": "two words",
    "plus": "1+1",
    "equals": "a=b==c",
    "ampersand": "Tom & Jerry",
    "percent": "100%41",
    "quotes": "\"double\" and 'single'",
    "letters": "Zoë Ω 日本 🎧",
    "markup": "<img src=x onerror=alert(1)>",
    "a key & a half=": "decoded too",
    "__proto__": "polluted",
    "constructor": "shadowed",
    "empty": "",
}
# The specification's own lines
SPECIFIED_BUTTON = """
<a href="#" style="border: 0; background: transparent url('/sc-connect/sc-connect.png') top left no-repeat;display: block;
    text-indent: -9999px; width: 242px; height: 31px; margin-bottom: 10px;" id="sc-connect">Connect with SoundCloud</a>
"""  # noqa: E501
SPECIFIED_SCRIPT = """
var options = {
      'request_token_endpoint': '/oauth/request_token',
      'access_token_endpoint': '/oauth/access_token',
      'callback': function(query_obj){ heard.push(query_obj); }
    };
    SC.Connect.prepareButton($('#sc-connect')[0],options);
"""
HEARING = "var heard = []; function $(selector) { return document.querySelectorAll(selector); }"
NO_POPUP = "window.open = function () { return null; };"


class World:
    """A site on localhost, and a provider on 127.0.0.1."""

    def __init__(self):
        self.pages = {}
        self.site = ""
        self.provider = ""

    def page(self, script, *, body="", coop=None):
        """Return the address of a new page which loads sc-connect.js, then runs ``script``."""
        text = (
            f"<!DOCTYPE html><title>A shop</title>{body or SPECIFIED_BUTTON}"
            f"<script>{HEARING}</script>"
            f'<script src="/sc-connect/sc-connect.js"></script><script>{script}</script>'
        )
        path = f"/page/{len(self.pages)}"
        self.pages[path] = (text, [("Cross-Origin-Opener-Policy", coop)] if coop else [])
        return self.site + path

    def site_app(self, environ, start_response):
        path = environ["PATH_INFO"]
        query = environ["QUERY_STRING"]
        if path in self.pages:
            text, headers = self.pages[path]
            return html(start_response, text, headers)
        if path == "/oauth/request_token":
            query = query or urlencode({"back": urlencode(JOE)})
            return redirect(start_response, f"{self.provider}/authorize?{query}")
        if path == "/oauth/access_token":
            back = parse_qs(query).get("back", [""])[0]
            return redirect(start_response, "/sc-connect/close.html" + (f"?{back}" if back else ""))
        return browser_file(start_response, path)

    def provider_app(self, environ, start_response):
        query = parse_qs(environ["QUERY_STRING"])
        answer = urlencode({"back": query.get("back", [""])[0]})
        back = f"{self.site}/oauth/access_token?{answer}"
        headers = [("Cross-Origin-Opener-Policy", "same-origin")] if "coop" in query else []
        if environ["PATH_INFO"] == "/evil":  # posts a message from its own origin
            text = f"<script>parent.postMessage({query['message'][0]}, '*')</script>"
            return html(start_response, text, headers)
        if "wait" in query:
            return html(start_response, f'<a id="allow" href="{back}">Allow</a>', headers)
        return redirect(start_response, back, headers)


def html(start_response, text, headers):
    start_response("200 OK", [("Content-Type", "text/html; charset=utf-8"), *headers])
    return [text.encode()]


def redirect(start_response, location, headers=()):
    start_response("303 See Other", [("Location", location), *headers])
    return []


def browser_file(start_response, path):
    file = ASSETS / path.removeprefix("/sc-connect/")
    if not (path.startswith("/sc-connect/") and file.suffix in TYPES and file.is_file()):
        start_response("204 No Content", [])
        return []
    headers = [
        ("Content-Type", TYPES[file.suffix]),
        ("Referrer-Policy", "no-referrer"),
        ("Content-Security-Policy", CONTENT_SECURITY_POLICY),
        ("X-Content-Type-Options", "nosniff"),
    ]
    start_response("200 OK", headers)
    return [file.read_bytes()]


class ThreadingServer(ThreadingMixIn, wsgiref.simple_server.WSGIServer):
    daemon_threads = True  # a browser keeps connections open that it never uses


class Quiet(wsgiref.simple_server.WSGIRequestHandler):
    def log_message(self, *args):
        pass


@contextmanager
def serving(application):
    server = wsgiref.simple_server.make_server("127.0.0.1", 0, application, ThreadingServer, Quiet)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def running_world():
    """Run both until the block ends."""
    world = World()
    with serving(world.site_app) as site, serving(world.provider_app) as provider:
        world.site = f"http://localhost:{site}"
        world.provider = f"http://127.0.0.1:{provider}"
        yield world


def endpoint(fields=JOE, **habits):
    """Return the start of a flow that ends with these fields, a mapping or a raw query.

    With ``coop=1`` the provider severs the popup from its opener, with ``wait=1`` it shows a page.
    """
    back = fields if isinstance(fields, str) else urlencode(fields)
    return "/oauth/request_token?" + urlencode({"back": back, **habits})


def prepare(start, selector="#sc-connect", into="heard"):
    """Return a script that prepares a button, whose callback appends what it gets to a list."""
    return (
        f"SC.Connect.prepareButton($('{selector}')[0], {{request_token_endpoint: '{start}', "
        f"callback: function (fields) {{ {into}.push(fields); }} }});"
    )


def pairs(fields):
    """Return fields as support.windows.heard() does."""
    return [list(pair) for pair in fields.items()]
