"""Put the site behind "Connect with SoundCloud". This is all the wiring."""

from flask_login import current_user

from scconnect_wsgi.config import flow_from_env
from scconnect_wsgi.connections import Connections
from scconnect_wsgi.stores.sql import SQLStore
from setlist.models import db


def init_app(app, options):
    def identify(request):
        with app.request_context(request.environ):
            return current_user.get_id()

    with app.app_context():
        store = SQLStore(engine=db.engine)
    connections = Connections(flow_from_env(), store, identify=identify)
    app.wsgi_app = connections.wrap(app.wsgi_app, sign_in_url="/sign-in", **options)
