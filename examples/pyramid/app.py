"""Log in with SoundCloud, in Pyramid (pip install pyramid): python examples/pyramid/app.py [PORT]

Connects to a sandbox on this machine. With SCCONNECT_CLIENT_ID and SCCONNECT_CLIENT_SECRET in the
environment it connects to SoundCloud; register http://localhost:8000/oauth/access_token there as
the callback URL.
"""

import contextlib
import os
import re
import secrets
import sys
import threading
from html import escape

import requests
from pyramid.config import Configurator
from pyramid.httpexceptions import HTTPSeeOther
from pyramid.response import Response
from pyramid.session import SignedCookieSessionFactory

from scconnect_wsgi import HAND_OVER, SOUNDCLOUD, OAuth2, SCConnect
from scconnect_wsgi.sandbox import Sandbox, serve

HTML = """<!DOCTYPE html><title>A site</title>
<script src="/sc-connect/sc-connect.js"></script>
<p title="%s">Logged in: %s</p>
<a href="#" id="sc-connect"><img src="/sc-connect/sc-connect.svg" alt="Connect with SoundCloud"></a>
<script>
  SC.Connect.prepareButton(document.getElementById("sc-connect"), {
    success: () => { location = "/"; },
    error: (fields) => alert(fields.error),
  });
</script>"""
PORT = int(sys.argv[1]) if len(sys.argv) > 1 else 8000
BASE_URL = os.environ.get("SCCONNECT_BASE_URL") or f"http://localhost:{PORT}"
HTTPS = BASE_URL.startswith("https:")
SECRET_KEY = os.environ.get("SCCONNECT_SECRET_KEY") or secrets.token_urlsafe(32)
CLIENT_ID = os.environ.get("SCCONNECT_CLIENT_ID", "sandbox-client")
CLIENT_SECRET = os.environ.get("SCCONNECT_CLIENT_SECRET", "sandbox-secret")
SANDBOX = None if "SCCONNECT_CLIENT_ID" in os.environ else Sandbox()
PROVIDER = SANDBOX.oauth2_provider(serve(SANDBOX).url) if SANDBOX else SOUNDCLOUD


def account(token):
    """Return the account's urn and name, or two empty strings if SoundCloud does not tell.

    The urn is the user's key, because two accounts can have the same name.
    """
    headers = {"Authorization": f"OAuth {token.token}"}
    try:
        response = requests.get(f"{PROVIDER.api_url}/me", headers=headers, timeout=10)
        response.raise_for_status()
        me = response.json()
        urn = me["urn"]
    except (requests.RequestException, LookupError, TypeError):
        return "", ""
    if not re.fullmatch(r"soundcloud:users:[1-9][0-9]*", str(urn)):
        return "", ""
    return urn, me.get("username", "")  # keep the token in your database, with this urn


def answer(urn, name):
    """Return the fields for the page's callback."""
    if urn:
        return {"username": name}
    return {"error": "provider_error", "error_description": "SoundCloud did not say who you are."}


def home(request):
    urn = request.session.get("urn", "")
    name = request.session.get("name", "nobody")
    return Response(HTML % (escape(urn), escape(name)))


def connected(request):
    urn, name = account(request.environ["scconnect.token"])
    request.session.invalidate()  # nothing of the session before
    if urn:
        request.session.update(urn=urn, name=name)
    return HTTPSeeOther(request.environ["scconnect.close_url"](answer(urn, name)))


config = Configurator(
    session_factory=SignedCookieSessionFactory(SECRET_KEY, httponly=True, secure=HTTPS)
)
config.add_route("home", "/")
config.add_view(home, route_name="home")
config.add_route("connected", "/oauth/access_token")
config.add_view(connected, route_name="connected")
app = config.make_wsgi_app()
flow = OAuth2(CLIENT_ID, CLIENT_SECRET, provider=PROVIDER)
application = SCConnect(app, flow, secret_key=SECRET_KEY, store_token=HAND_OVER, base_url=BASE_URL)
if __name__ == "__main__":
    with serve(application, PORT), contextlib.suppress(KeyboardInterrupt):
        print(f"Open {BASE_URL}/ (in the sandbox, log in as joe with the password joe)", flush=True)
        threading.Event().wait()
