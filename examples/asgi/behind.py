"""uvicorn behind:app --port 8000

A Starlette site as a whole behind SCConnect, whose users log in with SoundCloud. The site takes the
token itself at the callback's address, and has its own session.

A WSGI server starts it as well: gunicorn behind:application
"""

from html import escape

from a2wsgi import ASGIMiddleware, WSGIMiddleware
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.responses import HTMLResponse, RedirectResponse
from starlette.routing import Route

from scconnect_wsgi import HAND_OVER, SCConnect
from scconnect_wsgi.config import flow_from_env, options_from_env
from scconnect_wsgi.connections import Connections
from scconnect_wsgi.errors import ConnectError
from scconnect_wsgi.stores.sql import SQLStore

OPTIONS = options_from_env()  # SCCONNECT_SECRET_KEY, and SCCONNECT_BASE_URL unless on localhost
IS_HTTPS = OPTIONS.get("base_url", "").startswith("https:")
HOME = """<!DOCTYPE html><meta charset="utf-8"><title>A site</title>
<link rel="stylesheet" href="sc-connect/button.css">
<script src="sc-connect/sc-connect.js"></script>
<p>Logged in: %s</p>
<button class="sc-connect-button" id="connect" data-sc-connect>Log in with SoundCloud</button>
<script>
  document.addEventListener('scconnect:done', () => location.reload());
</script>"""

flow = flow_from_env()
store = SQLStore("sqlite:///connections.sqlite3")
connections = Connections(flow, store)


async def home(request):
    return HTMLResponse(HOME % escape(request.session.get("name", "nobody")))


async def connected(request):
    """Log in whoever comes back from SoundCloud; a2wsgi keeps the WSGI environ in the scope."""
    environ = request.scope["wsgi_environ"]
    close_url = environ["scconnect.close_url"]
    try:
        connection = await run_in_threadpool(
            connections.connect,
            environ["scconnect.token"],
            user=None,
            callback_url=environ["scconnect.callback_url"],
        )
    except ConnectError as error:
        return RedirectResponse(close_url(error.fields()), 303)
    request.session.clear()  # it may be another user's
    request.session["user"] = connection.user
    request.session["name"] = connection.account.username
    return RedirectResponse(close_url({"username": connection.account.username}), 303)


site = Starlette(
    routes=[Route("/", home), Route("/oauth/access_token", connected)],
    middleware=[
        Middleware(SessionMiddleware, secret_key=OPTIONS["secret_key"][-1], https_only=IS_HTTPS)
    ],
)
application = SCConnect(ASGIMiddleware(site), flow, store_token=HAND_OVER, **OPTIONS)
# Each thread may wait for SoundCloud while others answer; a2wsgi's default is 10 of them.
app = WSGIMiddleware(application, workers=40)
