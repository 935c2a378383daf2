"""Log in with SoundCloud, in Falcon: the site has no users but SoundCloud's.

It runs against a SoundCloud on this machine, where you log in as joe with one click:

    pip install falcon waitress 'scconnect-wsgi[sql]'
    scconnect sandbox -- waitress-serve --listen localhost:8000 app:application
"""

from html import escape

import falcon

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


class Home:
    def on_get(self, request, response):
        response.content_type = falcon.MEDIA_HTML
        response.text = page(request.env)


app = falcon.App()
app.add_route("/", Home())

store = SQLStore("sqlite:///connections.sqlite3")
# SCCONNECT_SECRET_KEY, and SCCONNECT_BASE_URL unless on localhost
application = Connections(flow_from_env(), store).login(app, **options_from_env())
