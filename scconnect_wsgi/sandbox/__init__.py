"""SoundCloud on your own machine: a provider that speaks both protocols and verifies what it is
sent.

    from scconnect_wsgi.sandbox import Sandbox, serve

    sandbox = Sandbox()
    with serve(sandbox, port=8001) as server:
        flow = OAuth2("sandbox-client", "sandbox-secret", provider=sandbox.oauth2_provider(server.url))

It keeps everything in memory, knows joe (password joe) and ann (password ann), signs up anybody
else, and can be told to misbehave (``scconnect_wsgi.sandbox.misbehave`` lists how).
"""

from scconnect_wsgi.sandbox.app import Sandbox
from scconnect_wsgi.sandbox.server import Server, serve

__all__ = ["Sandbox", "Server", "serve"]
