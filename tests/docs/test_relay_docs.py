"""docs/relay.md: production and the laptop of its first lines understand each other."""

import re

import webob
from support.browser import ARRIVAL, CLICK
from support.flows import CLIENT
from support.paths import CHECKOUT
from support.responses import query
from support.site import KEY, Store, page_of_the_site

from scconnect_wsgi import OAuth2, SCConnect

RELAY = (CHECKOUT / "docs" / "relay.md").read_text("utf-8")


def made_by(snippet):
    """Return the application that a snippet wraps."""
    names = {
        "SCConnect": SCConnect,
        "application": page_of_the_site,
        "flow": OAuth2(*CLIENT),
        "SECRET_KEY": KEY,
        "ANOTHER_SECRET_KEY": KEY[::-1],
        "RELAY_KEY": "what the two deployments share: 7qW_e3",
        "store_token": Store(),
    }
    exec(compile(snippet, "docs/relay.md", "exec"), names)
    return names["application"]


def test_the_snippets_are_those_of_one_site():
    snippets = re.findall(r"^```python\n(.*?)^```$", RELAY, re.DOTALL | re.MULTILINE)
    production, laptop = map(made_by, snippets)
    start = webob.Request.blank("http://localhost:8000/oauth/request_token", headers=CLICK)
    departure = query(start.get_response(laptop).headers["Location"])
    assert departure["redirect_uri"] == "https://app.example/oauth/access_token"
    back = webob.Request.blank(
        f"{departure['redirect_uri']}?code=4&state={departure['state']}", headers=ARRIVAL
    )
    relayed = back.get_response(production).headers["Location"]
    assert relayed == f"http://localhost:8000{back.path_qs}"
