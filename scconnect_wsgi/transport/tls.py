"""The TLS context of a process, and the requests adapter that uses it.

A context is made at the first use, never before: gevent and eventlet replace ``ssl.SSLContext``,
under ``gunicorn --preload`` after the application was imported, and a context made before that
recurses without end.
"""

from __future__ import annotations

import os
import ssl
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter

from scconnect_wsgi.errors import ConfigurationError

POOL_SIZE = 32  # kept-alive connections per host; more threads than that open one for the call


def context_for(authorities: str, cert: str | tuple[str, str] | None = None) -> ssl.SSLContext:
    """Return a context that trusts the PEM file (or OpenSSL folder) ``authorities``, and shows
    ``cert`` if given.

    Raises OSError for files that cannot be read or hold no certificates.
    """
    # By its name in ssl, and now: what a module took from there at its import is not what gevent
    # put there since.
    if os.path.isdir(authorities):
        context = ssl.create_default_context(capath=authorities)
    else:
        context = ssl.create_default_context(cafile=authorities)
    if cert is not None:
        context.load_cert_chain(*([cert] if isinstance(cert, str) else cert))
    return context


def check_bundle(ca_bundle: str) -> None:
    """Raise ConfigurationError unless ``ca_bundle`` is a file of PEM certificates.

    The context is thrown away.
    """
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cafile=ca_bundle)
    except OSError:  # ssl.SSLError is one
        raise ConfigurationError(
            "ca_bundle", "cannot be read as a file of PEM certificates."
        ) from None


class TLSAdapter(HTTPAdapter):
    """A requests adapter with one TLS context for all its connections, and connections of our own.

    A context alone changes nothing: requests also hands urllib3 the path of a CA bundle, which is
    then parsed again for each connection. The overrides keep that path away.
    """

    def __init__(self, context: ssl.SSLContext, pools: dict[str, Any]) -> None:
        self._context, self._pools = context, pools
        self._made_under = ssl.SSLContext
        super().__init__(pool_maxsize=POOL_SIZE)

    @property
    def is_outdated(self) -> bool:
        """Whether ssl was patched since:

        neither the context nor the connections are of use then.
        """
        return self._made_under is not ssl.SSLContext

    def init_poolmanager(
        self, connections: int, maxsize: int, block: bool = False, **kwargs: Any
    ) -> None:
        """Make the pools of connections."""
        super().init_poolmanager(connections, maxsize, block, ssl_context=self._context, **kwargs)
        self.poolmanager.pool_classes_by_scheme = self._pools

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        """Return the pools of connections through a proxy."""
        contexts = {"ssl_context": self._context, "proxy_ssl_context": self._context}
        manager = super().proxy_manager_for(proxy, **contexts, **kwargs)
        manager.pool_classes_by_scheme = self._pools
        return manager

    def build_connection_pool_key_attributes(
        self, request: Any, verify: Any, cert: Any = None
    ) -> Any:
        """Return what tells the connections of one host from those of another, without a path of a
        CA bundle.
        """
        parts = urlsplit(request.url)
        return {"scheme": parts.scheme, "host": parts.hostname, "port": parts.port}, {}

    def cert_verify(self, conn: Any, url: Any, verify: Any, cert: Any) -> None:
        """Set nothing: the context verifies the certificate and the host name."""

    def send(self, *args: Any, **options: Any) -> Any:
        """Send a request. Raises requests' errors, also if ssl is patched in the middle of it."""
        try:
            return super().send(*args, **options)
        except RecursionError as error:
            raise requests.exceptions.SSLError(PATCHED_LATE) from error


PATCHED_LATE = (
    "The TLS connection recursed without end. Likely cause: gevent or eventlet replaced the ssl module while it was in "
    "use. Call monkey.patch_all() (or eventlet.monkey_patch()) before anything else."
)
