"""Log in with SoundCloud, in plain WSGI: the site has no users but SoundCloud's.

It runs against a SoundCloud on this machine, where you log in as joe with one click:

    pip install waitress 'scconnect-wsgi[sql]'
    scconnect sandbox -- waitress-serve --listen localhost:8000 app:application
"""

from html import escape

from scconnect_wsgi.config import flow_from_env, options_from_env
from scconnect_wsgi.connections import Connections
from scconnect_wsgi.stores.sql import SQLStore

PAGE = """<!DOCTYPE html>
<meta charset="utf-8"><meta name="viewport" content="width=device-width">
<meta name="color-scheme" content="light dark"><title>A site</title>
<link rel="stylesheet" href="{root}/sc-connect/button.css">
<script src="{root}/sc-connect/sc-connect.js" defer></script>
"""
STRANGER = """<p>Nobody is logged in.</p>
<a class="sc-connect-button" data-sc-connect
   href="{root}/oauth/request_token?return_to={root}/">Log in with SoundCloud</a>"""
USER = """<p>Logged in as {name}.</p>
<form method="post" action="{root}/sc-connect/sign-out"><button>Log out</button></form>"""


def page(environ):
    """Return the page for whoever is logged in."""
    root = escape(environ.get("SCRIPT_NAME", ""))
    if "REMOTE_USER" not in environ:
        return (PAGE + STRANGER).format(root=root)
    return (PAGE + USER).format(root=root, name=escape(environ["scconnect.account"].username))


def app(environ, start_response):
    body = page(environ).encode()
    headers = [("Content-Type", "text/html; charset=utf-8"), ("Content-Length", str(len(body)))]
    start_response("200 OK", headers)
    return [body]


store = SQLStore("sqlite:///connections.sqlite3")
# SCCONNECT_SECRET_KEY, and SCCONNECT_BASE_URL unless on localhost
application = Connections(flow_from_env(), store).login(app, **options_from_env())
