"""Mandatory, in plain WSGI: a sign-up ends when the user has connected a SoundCloud account.

It runs against a SoundCloud on this machine, where you log in as joe with one click:

    pip install waitress 'scconnect-wsgi[sql]'
    scconnect sandbox -- waitress-serve --listen localhost:8000 app:application
"""

from html import escape

from itsdangerous import URLSafeTimedSerializer
from webob.dec import wsgify
from webob.exc import HTTPSeeOther

from scconnect_wsgi.config import flow_from_env, options_from_env
from scconnect_wsgi.connections import Connections
from scconnect_wsgi.errors import ConnectError, NotConnected
from scconnect_wsgi.stores.sql import SQLStore

PAGE = """<!DOCTYPE html>
<meta charset="utf-8"><meta name="viewport" content="width=device-width">
<meta name="color-scheme" content="light dark"><title>A site</title>
<link rel="stylesheet" href="{root}/sc-connect/button.css">
<script src="{root}/sc-connect/sc-connect.js" defer></script>
"""
SIGN_UP = """<form method="post" action="{root}/sign-up">
  <label>Name <input name="name" required></label> <button>Sign up</button>
</form>"""
CONNECT = """<p>{user}, one step is left: connect your SoundCloud account.</p>
<a class="sc-connect-button" data-sc-connect
   href="{root}/oauth/request_token?return_to={root}/">Connect with SoundCloud</a>"""
WELCOME = "<p>Welcome, {user}. You are {name} on SoundCloud.</p>"
LATER = "<p>SoundCloud cannot be reached at the moment. Please try again in a few minutes.</p>"
OPTIONS = options_from_env()  # SCCONNECT_SECRET_KEY, and SCCONNECT_BASE_URL unless on localhost
TWO_WEEKS = 14 * 24 * 3600  # seconds

sessions = URLSafeTimedSerializer(OPTIONS["secret_key"], salt="session")


def signed_in(request):
    """Return who is signed in, or None."""
    valid, user = sessions.loads_unsafe(request.cookies.get("session", ""), max_age=TWO_WEEKS)
    return user if valid else None


@wsgify
def site(request):
    """Answer all requests but those of the button."""
    if request.method == "POST" and request.path_info == "/sign-up":
        return sign_up(request)
    user = signed_in(request)
    if user is None:
        return shown(SIGN_UP, request)
    return members_page(request, user)


def sign_up(request):
    """Remember the user, whose sign-up ends when an account is connected."""
    session = sessions.dumps(request.POST["name"])  # a site asks for a password, too
    secure = OPTIONS.get("base_url", "").startswith("https:")
    answer = HTTPSeeOther(location=f"{request.script_name}/")
    answer.set_cookie("session", session, httponly=True, samesite="Lax", secure=secure)
    return answer


def members_page(request, user):
    """Return the page of a user, or the last step of the sign-up.

    That step comes again after the user has taken the permission back: `of_user` leaves out
    connections that have ended, and a call that finds this out raises NotConnected.
    """
    for connection in connections.of_user(user):
        try:
            with connections.session(connection.id, user=user) as session:
                return shown(WELCOME, request, user=user, name=session.me().name)
        except NotConnected:
            continue
        except ConnectError:  # SoundCloud is down, or answers nonsense
            return shown(LATER, request)
    return shown(CONNECT, request, user=user)


def shown(content, request, **fields):
    fields = {name: escape(value) for name, value in fields.items()}
    return (PAGE + content).format(root=request.script_name, **fields)


store = SQLStore("sqlite:///connections.sqlite3")
connections = Connections(flow_from_env(), store, identify=signed_in)
application = connections.wrap(site, **OPTIONS)
