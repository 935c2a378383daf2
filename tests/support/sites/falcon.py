"""Falcon."""

import falcon
import itsdangerous

from support.site import KEY
from support.sites import OWN, Boom, boom, chunks, connected


class _FalconPages:
    """Falcon has no session; its users take a signed cookie."""

    cookies = itsdangerous.URLSafeSerializer(KEY, salt="user")

    def on_get_own(self, _request, response):
        response.text = OWN

    def on_get_error(self, _request, _response):
        raise falcon.HTTPForbidden

    def on_get_raise(self, _request, _response):
        boom()

    def on_get_stream(self, _request, response):
        response.stream = chunks()

    def on_get_me(self, request, response):
        value = request.cookies.get("user")
        response.text = self.cookies.loads(value) if value else "nobody"

    def on_get_finish(self, request, response):
        user, url = connected(request.env)
        response.set_cookie("user", self.cookies.dumps(user), path="/", secure=False)
        raise falcon.HTTPSeeOther(url)


def _falcon_raises(_request, _response, error, _params):
    raise error


def site():
    app = falcon.App()
    pages = _FalconPages()
    app.add_error_handler(Boom, _falcon_raises)
    for name in ("own", "error", "raise", "stream", "me"):
        app.add_route(f"/{name}", pages, suffix=name)
    app.add_route("/oauth/access_token", pages, suffix="finish")
    return app
