"""Optional, in Bottle: users of a site may connect their SoundCloud accounts.

It runs against a SoundCloud on this machine, where you log in as joe with one click:

    pip install bottle waitress 'scconnect-wsgi[sql]'
    scconnect sandbox -- waitress-serve --listen localhost:8000 app:application
"""

from contextlib import suppress

from bottle import Bottle, redirect, request, response, template
from itsdangerous import URLSafeTimedSerializer

from scconnect_wsgi.config import flow_from_env, options_from_env
from scconnect_wsgi.connections import Connections
from scconnect_wsgi.errors import ConnectError, NotConnected
from scconnect_wsgi.stores.sql import SQLStore

PAGE = """<!DOCTYPE html>
<meta charset="utf-8"><meta name="viewport" content="width=device-width">
<meta name="color-scheme" content="light dark"><title>A site</title>
<link rel="stylesheet" href="{{root}}/sc-connect/button.css">
<script src="{{root}}/sc-connect/sc-connect.js" defer></script>
% if not user:
<form method="post" action="{{root}}/sign-in">
  <label>Name <input name="name" required></label> <button>Sign in</button>
</form>
% else:
<p>Signed in as {{user}}.</p>
% for connection in accounts:
<form method="post" action="{{root}}/disconnect">
  <p>Connected as {{connection.account.username}}:
  <a href="{{root}}/tracks/{{connection.id}}">tracks</a>
  <button name="id" value="{{connection.id}}">Disconnect</button></p>
</form>
% end
<a class="sc-connect-button" data-sc-connect
   href="{{root}}/oauth/request_token?return_to={{root}}/">Connect with SoundCloud</a>
% end
"""
OPTIONS = options_from_env()  # SCCONNECT_SECRET_KEY, and SCCONNECT_BASE_URL unless on localhost
TWO_WEEKS = 14 * 24 * 3600  # seconds

app = Bottle()
sessions = URLSafeTimedSerializer(OPTIONS["secret_key"], salt="session")


def signed_in(request):
    """Return who is signed in, or None. Both Bottle's requests and WebOb's have cookies."""
    valid, user = sessions.loads_unsafe(request.cookies.get("session", ""), max_age=TWO_WEEKS)
    return user if valid else None


@app.get("/")
def home():
    user = signed_in(request)
    accounts = connections.of_user(user or "")
    return template(PAGE, user=user, accounts=accounts, root=request.script_name.rstrip("/"))


@app.post("/sign-in")
def sign_in():
    session = sessions.dumps(request.forms.name)  # a site asks for a password, too
    secure = OPTIONS.get("base_url", "").startswith("https:")
    response.set_cookie("session", session, path="/", httponly=True, samesite="lax", secure=secure)
    redirect("./")


@app.get("/tracks/<id>")
def tracks(id):
    try:
        with connections.session(id, user=signed_in(request) or "") as session:
            return {"titles": [track["title"] for track in session.collection("/me/tracks")]}
    except ConnectError as error:  # ended, or SoundCloud is down
        response.status = 404 if isinstance(error, NotConnected) else 503
        return {"error": error.code}


@app.post("/disconnect")
def disconnect():
    with suppress(NotConnected):  # a second click
        connections.disconnect(request.forms.id, user=signed_in(request) or "")
    redirect("./")


store = SQLStore("sqlite:///connections.sqlite3")
connections = Connections(flow_from_env(), store, identify=signed_in)
application = connections.wrap(app, **OPTIONS)
