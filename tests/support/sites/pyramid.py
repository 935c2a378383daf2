"""Pyramid."""

from pyramid.config import Configurator
from pyramid.httpexceptions import HTTPForbidden, HTTPSeeOther
from pyramid.response import Response
from pyramid.session import SignedCookieSessionFactory

from support.site import KEY
from support.sites import OWN, boom, chunks, connected


def site(_global_config=None, **_settings):
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
