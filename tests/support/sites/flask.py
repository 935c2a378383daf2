"""Flask."""

import flask

from support.site import KEY
from support.sites import OWN, boom, chunks, connected


def site():
    app = flask.Flask(__name__)
    app.config.update(SECRET_KEY=KEY, PROPAGATE_EXCEPTIONS=True)

    def finish():
        flask.session["user"], url = connected(flask.request.environ)
        return flask.redirect(url, 303)

    app.add_url_rule("/own", "own", lambda: OWN)
    app.add_url_rule("/error", "error", lambda: flask.abort(403))
    app.add_url_rule("/raise", "raise", boom)
    app.add_url_rule("/stream", "stream", lambda: flask.Response(chunks(), mimetype="text/plain"))
    app.add_url_rule("/me", "me", lambda: flask.session.get("user", "nobody"))
    app.add_url_rule("/oauth/access_token", "finish", finish)
    return app
