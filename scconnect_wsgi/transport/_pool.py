"""The pool of connections of one process and one TLS context.

``exchange`` gives urllib3's own response to a token request, ``send`` a ``requests.Response`` to
an API call. Both use the same connections.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from requests.structures import CaseInsensitiveDict
from requests.utils import urldefragauth
from urllib3 import BaseHTTPResponse

from scconnect_wsgi.transport._cap import limit_json, with_cap
from scconnect_wsgi.transport._connection import POOLS
from scconnect_wsgi.transport._mocked import refuse_mocked
from scconnect_wsgi.transport._tls import PATCHED_LATE

POOL_SIZE = 32  # kept-alive connections per host; more threads than that open one for the call
DEFAULT_HEADERS = {"User-Agent": "scconnect-wsgi", "Accept-Encoding": "identity"}


class Pool(HTTPAdapter):
    """A requests adapter with one TLS context for all its connections.

    A context alone changes nothing: requests also hands urllib3 the path of a CA bundle, which is
    then parsed again for each connection. The overrides keep that path away.
    """

    def __init__(self, context: ssl.SSLContext) -> None:
        self._context = context
        self._made_under = ssl.SSLContext
        super().__init__(pool_maxsize=POOL_SIZE)

    @property
    def is_outdated(self) -> bool:
        """Whether ssl was patched since, so that context and connections are of no use."""
        return self._made_under is not ssl.SSLContext

    def exchange(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: str,
        *,
        timeout: float,
        proxy: str | None,
    ) -> BaseHTTPResponse:
        """Send one request and return the response, its body unread.

        Add nothing that requests would: no cookies, no redirects, no .netrc. Raises
        urllib3's errors, OSError and ValueError, and Mocked in some tests of a site.
        """
        refuse_mocked(url, api_call=False)
        parts = urlsplit(url)
        manager = self.proxy_manager_for(proxy) if proxy else self.poolmanager
        connections = manager.connection_from_host(parts.hostname, parts.port, parts.scheme)
        target = f"{parts.path or '/'}?{parts.query}" if parts.query else parts.path or "/"
        if proxy and parts.scheme == "http":
            target = urldefragauth(url)  # RFC 9112 section 3.2.2: a proxy is sent the whole URL
        return connections.urlopen(  # type: ignore[no-any-return]
            method,
            target,
            body or None,
            CaseInsensitiveDict({**DEFAULT_HEADERS, **headers}),
            self.max_retries,  # none, and an error of urllib3's that says what kind it is
            redirect=False,
            assert_same_host=False,
            preload_content=False,
            decode_content=False,
            timeout=timeout,
        )

    def send(
        self,
        request: Any,
        stream: bool = False,
        timeout: Any = None,
        verify: Any = True,
        cert: Any = None,
        proxies: Any = None,
    ) -> Any:
        """Send a request of requests.

        Raises requests' errors, also if ssl is patched in the middle of it.
        """
        refuse_mocked(str(request.url), api_call=True)
        try:
            response = super().send(request, stream, timeout, verify, cert, proxies)
        except RecursionError as error:
            raise requests.exceptions.SSLError(PATCHED_LATE) from error
        if not stream:
            limit_json(response, _read_timeout(timeout))
        return response

    def build_response(self, req: Any, resp: Any) -> requests.Response:
        """Return requests' response, with the current cap on its body."""
        response = super().build_response(req, resp)
        response.raw = with_cap(resp)
        return response

    def init_poolmanager(
        self, connections: int, maxsize: int, block: bool = False, **kwargs: Any
    ) -> None:
        """Make the pools of connections."""
        super().init_poolmanager(connections, maxsize, block, ssl_context=self._context, **kwargs)
        self.poolmanager.pool_classes_by_scheme = POOLS

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        """Return the pools of connections through a proxy."""
        contexts = {"ssl_context": self._context, "proxy_ssl_context": self._context}
        manager = super().proxy_manager_for(proxy, **contexts, **kwargs)
        manager.pool_classes_by_scheme = POOLS
        return manager

    def build_connection_pool_key_attributes(
        self, request: Any, verify: Any, cert: Any = None
    ) -> Any:
        """Return the pool key of a request, without the path of a CA bundle."""
        parts = urlsplit(request.url)
        return {"scheme": parts.scheme, "host": parts.hostname, "port": parts.port}, {}

    def cert_verify(self, conn: Any, url: Any, verify: Any, cert: Any) -> None:
        """Set nothing: the context verifies the certificate and the host name."""


def _read_timeout(timeout: Any) -> float | None:
    """Return how long one read may take, from requests' ``timeout``: a number, or a pair."""
    seconds = timeout[1] if isinstance(timeout, tuple) else timeout
    return seconds if isinstance(seconds, (int, float)) else None
