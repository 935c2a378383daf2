"""How a provider is reached over HTTP: the only room that opens a connection.

A ``Transport`` is the settings (time limit, size limit, CA bundle, proxy) together with the
connections that one process keeps open. Token requests go through ``Transport.send``, which
has one deadline for the whole call.
"""

from scconnect_wsgi.transport.client import Transport

__all__ = ["Transport"]
