"""The middleware: the WSGI application around the site's own.

``SCConnect`` is all that a site uses of it, and ``HAND_OVER`` is a value of two of its options. It
passes every request through to the wrapped application, except those for its own addresses: the
start of a flow, its callback, and the browser files.

Inside, ``_scconnect`` has the table of addresses and the steps of a flow. The steps use:

* ``_guard``: which requests may have an effect, and which may start a flow;
* ``_hooks``: the site's own callables, ``_results``: what they return, as a query, and ``_text``:
  one value of it;
* ``_cookies``: two cookies per flow in progress, made of ``_flow_state`` (what they keep, and its
  signature) and ``_cookie_header`` (their names and attributes);
* ``_signed_in``: whether somebody is signed in, at the start and on the way back;
* ``_callback_log``: the line of the log that has the callback URL;
* ``_outcomes``: a second callback of a flow is answered as the first was; ``_replay`` remembers the
  outcomes in this process, and ``_storage`` says how a storage is asked to do so for all of them;
* ``_ending``: where a flow ends, and how, and ``_hand_over``: whether the application that ends it
  loses the token;
* ``_responses``, ``_pages`` and ``_files``: redirects, our own pages, and browser files;
* ``_translations``: the sentences of our pages in every language;
* ``_environ``: helpers for the WSGI environ.

What else this room exports is for ``scconnect_wsgi.login``, whose cookies and pages are like these,
for ``scconnect check``, which ``_description`` tells what an SCConnect was given, and for
``scconnect_wsgi.django``, which looks after Django's connections as ``_django`` does here.

Handlers do not call ``start_response``. They return a WSGI application that answers the request, or
raise a Notice, which is a page.
"""

from scconnect_wsgi.middleware._cookie_header import (
    CookieHeader,
    remove_cookie,
    set_cookie,
    wire_name,
)
from scconnect_wsgi.middleware._cookies import CLOCK_SKEW
from scconnect_wsgi.middleware._description import Description, describe
from scconnect_wsgi.middleware._django import close_old_connections
from scconnect_wsgi.middleware._ending import NOTE
from scconnect_wsgi.middleware._files import CLOSE_CSP, asset_folder
from scconnect_wsgi.middleware._guard import is_fetched, is_from_own_site
from scconnect_wsgi.middleware._hooks import OnFailure, SiteHooks
from scconnect_wsgi.middleware._pages import Message, Notice, PageLook, Pages
from scconnect_wsgi.middleware._responses import FixedResponse, changing_headers, redirect
from scconnect_wsgi.middleware._scconnect import (
    DEFAULT_ASSETS_PATH,
    DEFAULT_CALLBACK_PATH,
    DEFAULT_START_PATH,
    HAND_OVER,
    HandOver,
    SCConnect,
)
from scconnect_wsgi.middleware._translations import Texts, sentences

__all__ = [
    "CLOCK_SKEW",
    "CLOSE_CSP",
    "DEFAULT_ASSETS_PATH",
    "DEFAULT_CALLBACK_PATH",
    "DEFAULT_START_PATH",
    "HAND_OVER",
    "NOTE",
    "CookieHeader",
    "Description",
    "FixedResponse",
    "HandOver",
    "Message",
    "Notice",
    "OnFailure",
    "PageLook",
    "Pages",
    "SCConnect",
    "SiteHooks",
    "Texts",
    "asset_folder",
    "changing_headers",
    "close_old_connections",
    "describe",
    "is_fetched",
    "is_from_own_site",
    "redirect",
    "remove_cookie",
    "sentences",
    "set_cookie",
    "wire_name",
]
