"""The same small site in each framework, written as that framework's users write it.

/own is a page, /error a 403 that the framework makes, /raise lets Boom out, /stream two chunks of a generator,
/me says who is logged in, and /oauth/access_token logs joe in with what the middleware hands over.
"""

import os

import bottle
import falcon
import flask
import itsdangerous
from django.core.exceptions import PermissionDenied
from django.core.wsgi import get_wsgi_application
from django.http import HttpResponse, HttpResponseRedirect, StreamingHttpResponse
from django.urls import path
from helpers import KEY
from pyramid.config import Configurator
from pyramid.httpexceptions import HTTPForbidden, HTTPSeeOther
from pyramid.response import Response
from pyramid.session import SignedCookieSessionFactory

OWN = "the framework's own page"
ENDED = []  # what /stream says when it is closed


class Boom(Exception):  # noqa: N818
    """What /raise raises."""


def chunks():
    try:
        yield b"one "
        yield b"two"
    finally:
        ENDED.append("closed")


def boom():
    raise Boom("of the site's own")


def connected(environ):
    """Who is logged in from here on, and where the popup goes."""
    token = environ["scconnect.token"]
    assert token.token
    return "joe", environ["scconnect.close_url"]({"username": "joe", "has_secret": bool(token.token_secret)})


def flask_site():
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


def _django_refusal(_request):
    raise PermissionDenied


def _django_finish(request):
    request.session["user"], url = connected(request.environ)
    answer = HttpResponseRedirect(url)
    answer.status_code = 303
    return answer


urlpatterns = [  # Django takes its addresses and its settings from a module: this one
    path("own", lambda _request: HttpResponse(OWN)),
    path("error", _django_refusal),
    path("raise", lambda _request: boom()),
    path("stream", lambda _request: StreamingHttpResponse(chunks(), content_type="text/plain")),
    path("me", lambda request: HttpResponse(request.session.get("user", "nobody"))),
    path("oauth/access_token", _django_finish),
]
SECRET_KEY = KEY
ROOT_URLCONF = os.environ["DJANGO_SETTINGS_MODULE"] = __name__
ALLOWED_HOSTS = ["localhost"]
DEBUG_PROPAGATE_EXCEPTIONS = True
MIDDLEWARE = ["django.contrib.sessions.middleware.SessionMiddleware"]
SESSION_ENGINE = "django.contrib.sessions.backends.signed_cookies"


def pyramid_site():
    def finish(request):
        request.session["user"], url = connected(request.environ)
        return HTTPSeeOther(url)

    views = {
        "/own": lambda _request: Response(OWN),
        "/error": lambda _request: HTTPForbidden(),
        "/raise": lambda _request: boom(),
        "/stream": lambda _request: Response(app_iter=chunks(), content_type="text/plain"),
        "/me": lambda request: Response(request.session.get("user", "nobody")),
        "/oauth/access_token": finish,
    }
    config = Configurator(session_factory=SignedCookieSessionFactory(KEY))
    for address, view in views.items():
        config.add_route(address, address)
        config.add_view(view, route_name=address)
    return config.make_wsgi_app()


def bottle_site():
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


class _FalconPages:
    """Falcon brings no session; a signed cookie is what its users take."""

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


def falcon_site():
    app, pages = falcon.App(), _FalconPages()
    app.add_error_handler(Boom, _falcon_raises)
    for name in ("own", "error", "raise", "stream", "me"):
        app.add_route(f"/{name}", pages, suffix=name)
    app.add_route("/oauth/access_token", pages, suffix="finish")
    return app


SITES = {
    "flask": flask_site,
    "django": get_wsgi_application,
    "pyramid": pyramid_site,
    "bottle": bottle_site,
    "falcon": falcon_site,
}
