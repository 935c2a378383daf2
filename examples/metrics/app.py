"""Count what happens to flows and connections, for Prometheus, in plain WSGI.

It runs against a SoundCloud on this machine, where you log in as joe with one click:

    pip install waitress prometheus-client 'scconnect-wsgi[sql]'
    scconnect sandbox -- waitress-serve --listen localhost:8000 app:application

The numbers are at http://localhost:8000/metrics. In production, let nobody but Prometheus reach
that address. If several processes serve the site, set PROMETHEUS_MULTIPROC_DIR to a folder that is
emptied before each start.
"""

import os

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Histogram, make_wsgi_app
from prometheus_client.multiprocess import MultiProcessCollector

from scconnect_wsgi.config import flow_from_env
from scconnect_wsgi.connections import Connections
from scconnect_wsgi.stores.sql import SQLStore

EVENTS = Counter("scconnect_events", "What happened to flows and connections.", ["event", "error"])
SECONDS = Histogram("scconnect_seconds", "How long that took.", ["event"])
PAGE = b"""<!DOCTYPE html>
<meta charset="utf-8"><meta name="viewport" content="width=device-width">
<meta name="color-scheme" content="light dark"><title>A site with metrics</title>
<link rel="stylesheet" href="/sc-connect/button.css">
<script src="/sc-connect/sc-connect.js" defer></script>
<a class="sc-connect-button" data-sc-connect
   href="/oauth/request_token?return_to=/">Connect with SoundCloud</a>
<p><a href="/metrics">The numbers</a></p>"""


def count(event):
    EVENTS.labels(event.name, event.error).inc()
    if event.seconds is not None:
        SECONDS.labels(event.name).observe(event.seconds)


def numbers():
    if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
        return REGISTRY
    of_all_processes = CollectorRegistry()
    MultiProcessCollector(of_all_processes)
    return of_all_processes


def app(environ, start_response):
    if environ["PATH_INFO"] == "/metrics":
        return make_wsgi_app(numbers())(environ, start_response)
    headers = [("Content-Type", "text/html; charset=utf-8"), ("Content-Length", str(len(PAGE)))]
    start_response("200 OK", headers)
    return [PAGE]


def identify(request):
    return "the only user"  # a site with users returns the id of the one who is signed in


store = SQLStore("sqlite:///connections.sqlite3")
connections = Connections(flow_from_env(), store, identify=identify, on_event=count)
application = connections.wrap(
    app,
    secret_key=os.environ["SCCONNECT_SECRET_KEY"],
    base_url=os.environ.get("SCCONNECT_BASE_URL"),  # not needed on localhost
)
