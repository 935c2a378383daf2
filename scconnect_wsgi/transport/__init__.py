"""How a provider is reached over HTTP, for token requests and API calls alike.

A ``Transport`` is the settings (time limit, size limit, CA bundle, proxy) together with the
connections that one process keeps open. Token requests go through ``Transport.send``, API calls
through the requests adapter that ``Transport.adapter`` returns; both use the same pool and the same
TLS context.

Inside: ``client`` (the settings and token requests), ``pool`` (the connections of one process),
``connection`` and ``strict`` (how one connection sends and reads), ``deadline`` and ``cap`` (limits
of time and size), ``tls`` (whom to trust), ``failures`` (errors for what went wrong).
"""

from scconnect_wsgi.transport.client import Transport

__all__ = ["Transport"]
