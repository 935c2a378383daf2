"""No repr of what carries a secret shows it."""

import pytest
import webob

from scconnect_wsgi.middleware._ending import Ending
from scconnect_wsgi.middleware._flow_state import FlowState
from scconnect_wsgi.middleware._responses import redirect
from scconnect_wsgi.transport import HTTPRequest, HTTPResponse

SECRET = "a-secret-of-somebody"
CALLBACK = webob.Request.blank(f"/oauth/access_token?code={SECRET}&state={SECRET}")
CARRIERS = [
    HTTPRequest("POST", f"https://a.example/t?c={SECRET}", {"Authorization": SECRET}, SECRET),
    HTTPResponse(200, {"X-Token": SECRET}, SECRET.encode()),
    FlowState(1, "https://app.example", "", {"verifier": SECRET}),
    Ending(CALLBACK, "/close.html", cookies=[f"a={SECRET}"]),
    redirect(f"https://a.example/authorize?state={SECRET}", [f"a={SECRET}"]),
]


@pytest.mark.threat(32)
@pytest.mark.parametrize("carrier", CARRIERS, ids=lambda carrier: type(carrier).__name__)
def test_threat_32_no_repr_shows_a_secret(carrier):
    assert SECRET not in repr(carrier)
