"""uvicorn mounted:app --port 8000

A FastAPI site on which every visitor may connect an account. The button's addresses are below
/soundcloud, where SCConnect is mounted; the rest of the site stays ASGI.

SCCONNECT_BASE_URL ends with the mount, as https://app.example/soundcloud does. The callback URL to
register is that and /oauth/access_token.
"""

import secrets
from html import escape
from itertools import islice

from a2wsgi import WSGIMiddleware
from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse
from starlette.middleware.sessions import SessionMiddleware

from scconnect_wsgi.config import flow_from_env, options_from_env
from scconnect_wsgi.connections import Connections
from scconnect_wsgi.errors import ConnectError
from scconnect_wsgi.stores.sql import SQLStore

MOUNT = "/soundcloud"
OPTIONS = {"base_url": f"http://localhost:8000{MOUNT}", **options_from_env()}
SITE = OPTIONS["base_url"].removesuffix(MOUNT)
HOME = """<!DOCTYPE html><meta charset="utf-8"><title>A site</title>
<link rel="stylesheet" href="soundcloud/sc-connect/button.css">
<script src="soundcloud/sc-connect/sc-connect.js"></script>
<p>Connected: %s. <a href="tracks">Your tracks</a></p>
<button class="sc-connect-button" id="connect" data-sc-connect>Connect with SoundCloud</button>
<script>
  document.addEventListener('scconnect:done', () => location.reload());
</script>"""


def identify(request):
    """Name the user of a request: SessionMiddleware has put the session into its ASGI scope."""
    return request.environ["asgi.scope"]["session"].get("user")


def back_to_the_site(environ, start_response):
    """Answer what is neither the button's nor the page's: close.html links to the first page."""
    start_response("303 See Other", [("Location", f"{SITE}/"), ("Content-Length", "0")])
    return [b""]


store = SQLStore("sqlite:///connections.sqlite3")
connections = Connections(flow_from_env(), store, identify=identify)
soundcloud = connections.wrap(back_to_the_site, **OPTIONS)

app = FastAPI()
app.add_middleware(
    SessionMiddleware, secret_key=OPTIONS["secret_key"][-1], https_only=SITE.startswith("https:")
)
# Each thread may wait for SoundCloud while others answer; a2wsgi's default is 10 of them.
app.mount(MOUNT, WSGIMiddleware(soundcloud, workers=40))


# The functions below are no coroutines: FastAPI runs them in threads, because the store and the
# calls of the API block.
@app.get("/", response_class=HTMLResponse)
def home(request: Request):
    # A user of your own would sign in first; here every visitor is one.
    user = request.session.setdefault("user", secrets.token_urlsafe())
    names = [connection.account.username for connection in connections.of_user(user)]
    return HOME % (escape(", ".join(names)) or "no account yet")


@app.get("/tracks")
def tracks(request: Request):
    user = request.session.get("user", "")
    return {
        connection.account.username: titles_of(connection.id, user)
        for connection in connections.of_user(user)
    }


def titles_of(id, user):
    try:
        with connections.session(id, user=user) as session:
            return [track["title"] for track in islice(session.collection("/me/tracks"), 50)]
    except ConnectError as error:
        return error.code
