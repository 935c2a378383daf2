"""The middleware: SCConnect wraps a WSGI application and answers the addresses of "Connect
with SoundCloud".

``SCConnect`` itself holds the table of addresses. The other modules are its parts: who may
start a flow (``guard``), the cookie that survives the trip to the provider (``cookies``), the
callables of the site (``hooks``), the memory of callbacks that were already used
(``replay``), its answers (``responses``) and the browser files (``files``).
"""

from scconnect_wsgi.middleware.scconnect import HAND_OVER, SCConnect

__all__ = ["HAND_OVER", "SCConnect"]
