"""Connections: stored tokens, and calls of the API with them.

``Connections`` keeps a token when a flow ends and finds it again by its user. ``ApiSession``
is a ``requests.Session`` for one stored connection; it adds the token to each request and
refreshes it before it expires. The other modules are their parts: what happens to a request
on its way out (``adapter``), refreshing a token exactly once (``refresh``), and what the
page's script may ask (``endpoints``).
"""

from scconnect_wsgi.connections.connections import Connections
from scconnect_wsgi.connections.session import ApiSession

__all__ = ["ApiSession", "Connections"]
