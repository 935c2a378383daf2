"""The middleware: the WSGI application around the site's own.

``SCConnect`` is all that a site uses of it, and ``HAND_OVER`` is a value of two of its options. It
passes every request through to the wrapped application, except those for its own addresses: the
start of a flow, its callback, and the browser files.

Inside, ``scconnect`` has the table of addresses and the steps of a flow. The steps use:

* ``guard``: which requests may have an effect, and which may start a flow;
* ``hooks``: the site's own callables, and ``results``: what they return, as a query;
* ``cookies``: one cookie per flow in progress, made of ``flow_state`` (what it keeps, signed) and
  ``cookie_header`` (its name and attributes);
* ``replay``: the memory of callbacks that were already used;
* ``ending``: where a flow ends, and how;
* ``responses``, ``pages`` and ``files``: redirects, our own pages, and browser files;
* ``environ``: helpers for the WSGI environ.

Handlers do not call ``start_response``. They return a WSGI application that answers the request, or
raise a Notice, which is a page.
"""

from scconnect_wsgi.middleware.scconnect import HAND_OVER, SCConnect

__all__ = ["HAND_OVER", "SCConnect"]
