"""The application that ``Connections.wrap`` returns: everything a site needs, in one object."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

    from scconnect_wsgi.connections._connections import Connections
    from scconnect_wsgi.middleware import SCConnect

ENVIRON_KEY = "scconnect.connections"


class WrappedApplication:
    """A site's application inside SCConnect and the addresses for the page's script.

    Every request finds ``connections`` in its environ as ``scconnect.connections``, those that
    SCConnect answers itself too: the site's callables get the same environ. ``sc_connect`` is the
    SCConnect inside.
    """

    def __init__(
        self, app: WSGIApplication, connections: Connections, sc_connect: SCConnect
    ) -> None:
        self._app = app
        self.connections: Connections = connections
        self.sc_connect: SCConnect = sc_connect

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer a request."""
        environ[ENVIRON_KEY] = self.connections
        return self._app(environ, start_response)
