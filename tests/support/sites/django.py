"""Django."""

import os

from django.core.exceptions import PermissionDenied
from django.core.wsgi import get_wsgi_application
from django.http import HttpResponse, HttpResponseRedirect, StreamingHttpResponse
from django.urls import path

from support.site import KEY
from support.sites import OWN, boom, chunks, connected


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

site = get_wsgi_application
