"""SoundCloud on your own machine: a provider of both protocols that verifies what it is sent.

    from scconnect_wsgi.sandbox import Sandbox, serve

    sandbox = Sandbox()
    with serve(sandbox, port=8001) as server:
        provider = sandbox.oauth2_provider(server.url)
        flow = OAuth2("sandbox-client", "sandbox-secret", provider=provider)

It keeps everything in memory and knows joe (password joe) and ann (password ann); anybody else can
sign up. It can be told to misbehave: ``scconnect_wsgi.sandbox.faults`` lists how.

Inside, ``app`` is the table of endpoints. ``pages`` and ``consent`` are for users, ``oauth1``,
``oauth2`` and ``api`` for programs; all keep their records in ``state``. ``server`` is the HTTP
server, and ``browser`` a user for tests.
"""

from scconnect_wsgi.sandbox.app import Sandbox
from scconnect_wsgi.sandbox.server import Server, serve

__all__ = ["Sandbox", "Server", "serve"]
