"""Log in with SoundCloud, in Bottle (pip install bottle): python examples/bottle/app.py [PORT]

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

import itsdangerous
import requests
from bottle import Bottle, redirect, request, response

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


# In seconds: how long a login lasts. Then the browser drops the cookie, and the server refuses it.
MAX_AGE = 14 * 24 * 3600
app = Bottle()
# Bottle has no session, and its own signed cookies do not expire.
cookies = itsdangerous.URLSafeTimedSerializer(SECRET_KEY, salt="user")


@app.get("/")
def home():
    valid, user = cookies.loads_unsafe(request.get_cookie("user", ""), max_age=MAX_AGE)
    urn, name = user if valid else ("", "nobody")
    return HTML % (escape(urn), escape(name))


@app.get("/oauth/access_token")
def connected():
    urn, name = account(request.environ["scconnect.token"])
    options = {"path": "/", "httponly": True, "samesite": "lax", "secure": HTTPS}
    if urn:
        response.set_cookie("user", cookies.dumps([urn, name]), max_age=MAX_AGE, **options)
    else:
        response.delete_cookie("user", **options)
    redirect(request.environ["scconnect.close_url"](answer(urn, name)))


flow = OAuth2(CLIENT_ID, CLIENT_SECRET, provider=PROVIDER)
application = SCConnect(app, flow, secret_key=SECRET_KEY, store_token=HAND_OVER, base_url=BASE_URL)
if __name__ == "__main__":
    with serve(application, PORT), contextlib.suppress(KeyboardInterrupt):
        print(f"Open {BASE_URL}/ (in the sandbox, log in as joe with the password joe)", flush=True)
        threading.Event().wait()
