"""A site on Hypercorn, which sends the headers of a response with the first item of its body.

A response without a body therefore needs an empty item: for an empty iterable Hypercorn sends no
headers, and answers 500.
"""

import pytest
import requests
from support.responses import landed
from support.servers import hypercorn, site_on

pytestmark = [pytest.mark.servers, pytest.mark.slow]

SITE = """
from support.flows import flow_for
from support.site import KEY, page_of_the_site
from scconnect_wsgi import SCConnect
from scconnect_wsgi.connections import Connections
from scconnect_wsgi.stores.sql import SQLStore

flow = flow_for("oauth2", {provider!r})
connections = Connections(flow, SQLStore({store!r}), identify=lambda request: "joe")
application = SCConnect(
    page_of_the_site,
    flow,
    secret_key=KEY,
    store_token=lambda token, request: {{"username": "joe", "oauth_token_id": 43}},
)
application = connections.serving(application)
"""
# Every address of ours that answers a HEAD request, and the status of its answer
HEADS = {
    "/oauth/request_token": 200,
    "/oauth/access_token": 200,
    "/sc-connect/sc-connect.js": 200,
    "/sc-connect/close.html": 200,
    "/sc-connect/sc-connect.png": 200,
    "/sc-connect/nothing.js": 404,
    "/sc-connect/connections.json": 405,
    "/sc-connect/disconnect": 405,
}


@pytest.fixture
def site(provider, tmp_path):
    store = f"sqlite:///{tmp_path}/connections.sqlite3"
    with site_on(hypercorn, tmp_path, SITE.format(provider=provider.url, store=store)) as site:
        yield site


def test_a_flow_and_every_response_without_a_body(site, browser):
    assert landed(browser.connect(site, "deny"))["error"] == "access_denied"
    assert landed(browser.connect(site)) == {"username": "joe", "oauth_token_id": "43"}
    with requests.Session() as session:
        session.trust_env = False
        got = {}
        for path in HEADS:
            response = session.head(site.url + path, timeout=10)
            got[path] = response.status_code
            assert response.content == b""
        assert got == HEADS
        script = f"{site.url}/sc-connect/sc-connect.js"
        tag = session.get(script, timeout=10).headers["ETag"]
        same = session.get(script, headers={"If-None-Match": tag}, timeout=10)
        assert (same.status_code, same.content) == (304, b"")
        same = session.head(script, headers={"If-None-Match": tag}, timeout=10)
        assert (same.status_code, same.content) == (304, b"")
