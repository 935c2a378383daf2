"""How a provider is reached over HTTP, for token requests and API calls alike.

A ``Transport`` is the settings (time limit, size limit, CA bundle, proxy) together with the
connections that one process keeps open. Token requests go through ``Transport.send``, API calls
through the requests adapter that ``Transport.adapter`` returns; both use the same pool and the same
TLS context.

Inside: ``_client`` (the settings and token requests), ``_pool`` (the connections of one process),
``_connection`` and ``_strict`` (how one connection sends and reads), ``_deadline`` and ``_cap``
(limits of time and size), ``_multipart`` (bodies of uploads), ``_tls`` (whom to trust),
``_failures`` (errors for what went wrong), ``_mocked`` (libraries that patch HTTP for tests).
"""

from scconnect_wsgi.transport._cap import MAX_PAGE, capped
from scconnect_wsgi.transport._client import (
    HTTPRequest,
    HTTPResponse,
    Transport,
    as_sent,
    checked_transport,
    shared_transport,
)
from scconnect_wsgi.transport._deadline import Deadline, deadline, paused
from scconnect_wsgi.transport._failures import (
    NETWORK_ERRORS,
    Failure,
    error_for,
    error_for_status,
)
from scconnect_wsgi.transport._multipart import FilePart, Interrupted, Multipart, Progress

# A site needs `Transport` only. The other names are for the rooms that send requests.
__all__ = [
    "MAX_PAGE",
    "NETWORK_ERRORS",
    "Deadline",
    "Failure",
    "FilePart",
    "HTTPRequest",
    "HTTPResponse",
    "Interrupted",
    "Multipart",
    "Progress",
    "Transport",
    "as_sent",
    "capped",
    "checked_transport",
    "deadline",
    "error_for",
    "error_for_status",
    "paused",
    "shared_transport",
]
