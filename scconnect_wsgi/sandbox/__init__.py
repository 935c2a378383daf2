"""SoundCloud on your own machine: a provider of both protocols that verifies what it is sent.

    from scconnect_wsgi.sandbox import Sandbox, serve

    sandbox = Sandbox()
    with serve(sandbox, port=8001) as server:
        provider = sandbox.oauth2_provider(server.url)
        flow = OAuth2("sandbox-client", "sandbox-secret", provider=provider)

It keeps everything in memory and knows joe (password joe) and ann (password ann); anybody else can
sign up. It can be told to misbehave: ``scconnect_wsgi.sandbox.faults`` lists how.

Inside, ``_app`` is the table of endpoints. ``_pages`` and ``_consent`` are for users, ``_oauth1``,
``_oauth2`` and ``_api`` for programs; all keep their records in ``_state``. ``_server`` is the HTTP
server, and ``_browser`` a user for tests.
"""

from scconnect_wsgi.sandbox._app import Sandbox
from scconnect_wsgi.sandbox._browser import Browser, decide
from scconnect_wsgi.sandbox._server import Server, serve

# `Browser` and `decide` are for `scconnect_wsgi.testing`.
__all__ = ["Browser", "Sandbox", "Server", "decide", "serve"]
