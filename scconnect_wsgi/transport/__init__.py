"""How a provider is reached over HTTP, for token requests and API calls alike.

A ``Transport`` is the settings (time limit, size limit, CA bundle, proxy) together with the
connections that one process keeps open. Token requests go through ``Transport.send``, API calls
through the requests adapter that ``Transport.adapter`` returns; both use the same pool and the same
TLS context.

Inside: ``_client`` (the settings and token requests), ``_pool`` (the connections of one process),
``_connection`` and ``_strict`` (how one connection sends and reads), ``_deadline`` and ``_cap``
(limits of time and size), ``_tls`` (whom to trust), ``_failures`` (errors for what went wrong).
"""

from scconnect_wsgi.transport._cap import MAX_PAGE, capped
from scconnect_wsgi.transport._client import (
    HTTPRequest,
    HTTPResponse,
    Transport,
    as_sent,
    shared_transport,
)
from scconnect_wsgi.transport._deadline import deadline, paused
from scconnect_wsgi.transport._failures import NETWORK_ERRORS, error_for_status, retry_seconds

# A site needs `Transport` only. The other names are for the rooms that send requests.
__all__ = [
    "MAX_PAGE",
    "NETWORK_ERRORS",
    "HTTPRequest",
    "HTTPResponse",
    "Transport",
    "as_sent",
    "capped",
    "deadline",
    "error_for_status",
    "paused",
    "retry_seconds",
    "shared_transport",
]
