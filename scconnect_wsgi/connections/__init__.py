"""Connections: stored tokens, and API calls with them.

    from scconnect_wsgi.connections import Connections

``Connections`` stores a token when a flow ends and finds it again by its user. ``ApiSession`` is a
``requests.Session`` for one stored connection, which ``Connections.session`` makes; it adds the
token to each request and refreshes it before it expires. Neither knows which protocol is used: they
ask an ``ApiFlow`` (``scconnect_wsgi.flow``).

The other modules are the inside: whose token it is (``_accounts``, ``_naming``), storing it over
the previous one (``_saving``), refreshing it exactly once (``_refresh``, ``_section``), what a
refresh that failed leads to (``_failed_refresh``), whether ``/me`` accepts a token (``_verdict``),
looking again at a connection that has ended (``_revive``), what happens to a request on its way out
(``_adapter``), what the page's script may ask (``_endpoints``), what the middleware may ask
(``_flow_storage``), and the application around a site (``_options``, ``_wrapped``).
"""

from scconnect_wsgi.connections._connections import Connections
from scconnect_wsgi.connections._session import ApiSession

__all__ = ["ApiSession", "Connections"]
