"""Bottle."""

import bottle

from support.site import KEY
from support.sites import OWN, boom, chunks, connected


def site():
    app = bottle.Bottle()
    app.config["catchall"] = False

    def finish():
        user, url = connected(bottle.request.environ)
        bottle.response.set_cookie("user", user, secret=KEY, path="/")
        bottle.redirect(url, 303)

    app.get("/own", callback=lambda: OWN)
    app.get("/error", callback=lambda: bottle.abort(403))
    app.get("/raise", callback=boom)
    app.get("/stream", callback=chunks)
    app.get("/me", callback=lambda: bottle.request.get_cookie("user", "nobody", secret=KEY))
    app.get("/oauth/access_token", callback=finish)
    return app
