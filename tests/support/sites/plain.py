"""No framework: WSGI by hand, with WebOb, which the package brings, for what WSGI lacks."""

import itsdangerous
import webob

from support.site import KEY
from support.sites import OWN, boom, chunks, connected

COOKIES = itsdangerous.URLSafeSerializer(KEY, salt="user")


def finish(request):
    user, url = connected(request.environ)
    response = webob.Response(status=303, location=url)
    response.set_cookie("user", COOKIES.dumps(user), httponly=True)
    return response


def me(request):
    value = request.cookies.get("user")
    return webob.Response(COOKIES.loads(value) if value else "nobody")


VIEWS = {
    "/own": lambda _request: webob.Response(OWN),
    "/error": lambda _request: webob.Response("refused", status=403),
    "/raise": lambda _request: boom(),
    "/stream": lambda _request: webob.Response(app_iter=chunks(), content_type="text/plain"),
    "/me": me,
    "/oauth/access_token": finish,
}


def nothing_here(_request):
    return webob.Response("nothing here", status=404)


def application(environ, start_response):
    view = VIEWS.get(environ["PATH_INFO"], nothing_here)
    return view(webob.Request(environ))(environ, start_response)


def site():
    return application
