"""The site of the README: log in with SoundCloud, and see your tracks.

It runs against a SoundCloud on this machine, where you log in as joe with one click:

    pip install waitress 'scconnect-wsgi[sql]'
    scconnect sandbox -- waitress-serve --listen localhost:8000 app:application
"""

from scconnect_wsgi.config import flow_from_env, options_from_env
from scconnect_wsgi.connections import Connections
from scconnect_wsgi.errors import NotConnected
from scconnect_wsgi.stores.sql import SQLStore


def site(environ, start_response):  # or the WSGI application of any framework
    try:
        with environ["scconnect.session"]() as session:
            titles = [track["title"] for track in session.collection("/me/tracks")]
    except NotConnected:  # the user took the permission back, and is logged out within a minute
        titles = ["SoundCloud no longer shows us your tracks. Please log in again in a minute."]
    start_response("200 OK", [("Content-Type", "text/plain; charset=utf-8")])
    return ["\n".join([f"Hello, {environ['scconnect.account'].name}!", *titles]).encode()]


store = SQLStore("sqlite:///connections.sqlite3")
# Strangers see a page with the button. The options come from SCCONNECT_SECRET_KEY, and from
# SCCONNECT_BASE_URL unless on localhost.
application = Connections(flow_from_env(), store).login(site, require=True, **options_from_env())
