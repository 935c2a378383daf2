"""The middleware: the WSGI application around the site's own.

``SCConnect`` is all that a site uses of it, and ``HAND_OVER`` is a value of two of its options. It
passes every request through to the wrapped application, except those for its own addresses: the
start of a flow, its callback, and the browser files.

Inside, ``_scconnect`` has the table of addresses and the steps of a flow. The steps use:

* ``_guard``: which requests may have an effect, and which may start a flow;
* ``_hooks``: the site's own callables, and ``_results``: what they return, as a query;
* ``_cookies``: one cookie per flow in progress, made of ``_flow_state`` (what it keeps, signed) and
  ``_cookie_header`` (its name and attributes);
* ``_replay``: the memory of callbacks that were already used;
* ``_ending``: where a flow ends, and how;
* ``_responses``, ``_pages`` and ``_files``: redirects, our own pages, and browser files;
* ``_environ``: helpers for the WSGI environ.

Handlers do not call ``start_response``. They return a WSGI application that answers the request, or
raise a Notice, which is a page.
"""

from scconnect_wsgi.middleware._files import asset_folder
from scconnect_wsgi.middleware._scconnect import HAND_OVER, SCConnect

__all__ = ["HAND_OVER", "SCConnect", "asset_folder"]
