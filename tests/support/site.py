"""A site with the button, running on a real socket."""

from __future__ import annotations

from contextlib import contextmanager
from wsgiref.validate import validator

from scconnect_wsgi import SCConnect
from scconnect_wsgi.sandbox import serve
from support.canary import met

KEY = "a secret key that is long enough for a test"
JOE = {"username": "joe", "oauth_token_id": "43"}  # the query of close.html that Store leads to


def page_of_the_site(environ, start_response):
    """Be the wrapped application, whose page names the path that it was asked for."""
    body = f"the site's own page at {environ.get('PATH_INFO', '')!r}".encode()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]


class Mounted:
    """Mount an application under a prefix, as a server does: SCRIPT_NAME and PATH_INFO."""

    def __init__(self, app, prefix):
        self.app = app
        self.prefix = prefix

    def __call__(self, environ, start_response):
        path = environ["PATH_INFO"]
        if not path.startswith(self.prefix + "/"):
            start_response("404 Not Found", [("Content-Type", "text/plain")])
            return [b"outside"]
        environ["SCRIPT_NAME"] += self.prefix
        environ["PATH_INFO"] = path[len(self.prefix) :]
        return self.app(environ, start_response)


class Store:
    """Be a storage callable that remembers the tokens it was given."""

    def __init__(self, result=None):
        self.tokens = []
        self.result = {"username": "joe", "oauth_token_id": 43} if result is None else result

    def __call__(self, token, request):
        self.tokens.append(token)
        met(token.token, token.token_secret, token.refresh_token)
        return self.result


class Site:
    """The addresses of a running site, and the store of its tokens."""

    def __init__(self, url, store=None, root="/oauth"):
        self.url = url
        self.store = store
        self.start = f"{url}{root}/request_token"
        self.callback = f"{url}{root}/access_token"


@contextmanager
def running_site(
    flow, *, app=page_of_the_site, prefix="", store_token=None, around=None, **options
):
    """Run a site with the button; every response passes wsgiref's validator.

    ``around`` wraps the whole, as a proxy in front of it does.
    """
    store_token = Store() if store_token is None else store_token
    options.setdefault("secret_key", KEY)
    wrapped = validator(SCConnect(app, flow, store_token=store_token, **options))
    whole = Mounted(wrapped, prefix) if prefix else wrapped
    with serve(around(whole) if around else whole) as server:
        yield Site(server.url.replace("127.0.0.1", "localhost") + prefix, store_token)
