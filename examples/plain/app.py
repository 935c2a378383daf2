"""The README as a site: python examples/plain/app.py [PORT]

Connects to a sandbox on this machine. With SCCONNECT_CLIENT_ID and SCCONNECT_CLIENT_SECRET in the
environment it connects to SoundCloud; register http://localhost:8000/oauth/access_token there as
the callback URL.
"""
# ruff: noqa: E402  # the part between the two marks is the README's, its import included

import contextlib
import os
import secrets
import sys
import threading

from scconnect_wsgi import SOUNDCLOUD
from scconnect_wsgi.sandbox import Sandbox, serve

HTML = b"""<!DOCTYPE html><meta charset="utf-8"><title>A site</title>
<script src="/sc-connect/sc-connect.js"></script>
<a href="#" id="sc-connect"><img src="/sc-connect/sc-connect.svg" alt="Connect with SoundCloud"></a>
<script>
  SC.Connect.prepareButton(document.getElementById('sc-connect'), {
    callback: (fields) => document.body.append(JSON.stringify(fields)), // {"oauth_token_id": "1"}
  });
</script>
"""
PORT = int(sys.argv[1]) if len(sys.argv) > 1 else 8000
BASE_URL = f"http://localhost:{PORT}"
SECRET_KEY = os.environ.get("SCCONNECT_SECRET_KEY") or secrets.token_urlsafe(32)
TOKENS = []
if "SCCONNECT_CLIENT_ID" in os.environ:
    PROVIDER = SOUNDCLOUD
    CLIENT_ID, CLIENT_SECRET = (
        os.environ["SCCONNECT_CLIENT_ID"],
        os.environ["SCCONNECT_CLIENT_SECRET"],
    )
else:
    sandbox = Sandbox()
    PROVIDER = sandbox.oauth2_provider(serve(sandbox).url)
    CLIENT_ID, CLIENT_SECRET = "sandbox-client", "sandbox-secret"


def application(environ, start_response):
    start_response(
        "200 OK", [("Content-Type", "text/html; charset=utf-8"), ("Content-Length", str(len(HTML)))]
    )
    return [HTML]


# README: begin
from scconnect_wsgi import OAuth2, SCConnect


def store_token(token, request):
    TOKENS.append(token)  # in your database, with the user it belongs to
    return {"oauth_token_id": len(TOKENS)}  # reaches the page's callback


flow = OAuth2(CLIENT_ID, CLIENT_SECRET, provider=PROVIDER)  # no provider: SoundCloud
application = SCConnect(
    application, flow, secret_key=SECRET_KEY, store_token=store_token, base_url=BASE_URL
)
# README: end

if __name__ == "__main__":
    with serve(application, PORT), contextlib.suppress(KeyboardInterrupt):
        print(f"Open {BASE_URL}/ (in the sandbox, log in as joe with the password joe)", flush=True)
        threading.Event().wait()
