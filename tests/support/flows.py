"""The flows of both protocols against the sandbox, without a site."""

from __future__ import annotations

import functools
from contextlib import contextmanager

from scconnect_wsgi import ConnectError, OAuth1, OAuth2, Transport
from scconnect_wsgi.sandbox import Sandbox
from support.browser import Browser
from support.responses import query

CLIENT = ("sandbox-client", "sandbox-secret")
CALLBACK = "http://127.0.0.1:9/oauth/access_token"  # no server listens there
# The codes that a flow may end with; the others belong to settings, and to calls of the API.
CODES = sorted(
    {kind.code for kind in ConnectError.__subclasses__()}
    - {"configuration", "not_connected", "unusable_file"}
)


def flow_for(protocol, root, *, transport=None, **provider):
    """Return the flow of a protocol against the sandbox at ``root``."""
    sandbox = Sandbox()
    if protocol == "oauth1":
        known = sandbox.oauth1_provider(root, **provider)
        return OAuth1(*CLIENT, provider=known, transport=transport)
    return OAuth2(*CLIENT, provider=sandbox.oauth2_provider(root, **provider), transport=transport)


@functools.cache
def quick_transport(**options):
    """Return a transport. The same options get the same one: reading the CA bundle takes long.

    Its deadline only ends a test that hangs. A test that is about the deadline gives a ``timeout``.
    """
    return Transport(**{"timeout": 15.0, **options})


def dance(flow, **extra):
    """Begin, log in, allow and finish; ``extra`` is added to the authorization response."""
    departure = flow.begin(CALLBACK)
    with Browser() as browser:
        back = query(browser.decide(departure.authorize_url))
    return flow.finish(CALLBACK, {**back, **extra}, departure.pending)


@contextmanager
def nobody_asked(provider):
    """Check that no request reaches the provider until the block ends."""
    before = dict(provider.counts)
    yield
    assert dict(provider.counts) == before
