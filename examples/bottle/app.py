"""Log in with SoundCloud, in Bottle (pip install bottle): python examples/bottle/app.py [PORT]

Connects to a sandbox on this machine, or, with SCCONNECT_CLIENT_ID and SCCONNECT_CLIENT_SECRET in the environment,
to SoundCloud, where http://localhost:8000/oauth/access_token must then be the registered callback.
"""

import contextlib
import os
import secrets
import sys
import threading
from html import escape

import requests
from bottle import Bottle, redirect, request, response

from scconnect_wsgi import HAND_OVER, SOUNDCLOUD, OAuth2, SCConnect
from scconnect_wsgi.sandbox import Sandbox, serve

HTML = """<!DOCTYPE html><title>A site</title><script src="/sc-connect/sc-connect.js"></script><p>Logged in: %s</p>
<a href="#" id="sc-connect"><img src="/sc-connect/sc-connect.png" alt="Connect with SoundCloud"></a><script>
SC.Connect.prepareButton(document.links[0], {callback: ({error}) => error ? alert(error) : location = "/"})</script>"""
PORT = int(sys.argv[1]) if len(sys.argv) > 1 else 8000
SECRET_KEY = os.environ.get("SCCONNECT_SECRET_KEY") or secrets.token_urlsafe(32)
CLIENT_ID = os.environ.get("SCCONNECT_CLIENT_ID", "sandbox-client")
CLIENT_SECRET = os.environ.get("SCCONNECT_CLIENT_SECRET", "sandbox-secret")
SANDBOX = None if "SCCONNECT_CLIENT_ID" in os.environ else Sandbox()
PROVIDER = SANDBOX.oauth2_provider(serve(SANDBOX).url) if SANDBOX else SOUNDCLOUD


def username(token):  # keep the token in your database, with this user
    headers = {"Authorization": f"OAuth {token.token}"}
    return requests.get(f"{PROVIDER.api_url}/me", headers=headers, timeout=10).json()["username"]


app = Bottle()


@app.get("/")
def home():
    return HTML % escape(request.get_cookie("user", "nobody", secret=SECRET_KEY))


@app.get("/oauth/access_token")
def connected():
    user = username(request.environ["scconnect.token"])
    response.set_cookie("user", user, secret=SECRET_KEY, path="/", httponly=True, samesite="lax")
    redirect(request.environ["scconnect.close_url"]({"username": user}))


flow = OAuth2(CLIENT_ID, CLIENT_SECRET, provider=PROVIDER)
base_url = f"http://localhost:{PORT}"
application = SCConnect(app, flow, secret_key=SECRET_KEY, store_token=HAND_OVER, base_url=base_url)
if __name__ == "__main__":
    with serve(application, PORT), contextlib.suppress(KeyboardInterrupt):
        print(f"Open {base_url}/ (in the sandbox, log in as joe with the password joe)", flush=True)
        threading.Event().wait()
