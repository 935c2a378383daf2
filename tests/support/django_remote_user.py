"""A Django site whose users come from REMOTE_USER, for login/test_remote_user.py, in a process.

It prints what Django says of a stranger, of joe, and of joe after the sign-out.
"""

import json

import django
from django.conf import settings
from django.core.management import call_command
from django.core.wsgi import get_wsgi_application
from django.http import JsonResponse
from django.urls import path
from webob import Request

from scconnect_wsgi.connections import Connections
from scconnect_wsgi.stores import MemoryStore
from scconnect_wsgi.testing import SoundCloud
from support.documentation import snippet
from support.site import KEY


def whoami(request):
    user = request.user
    return JsonResponse({"user": user.get_username(), "signed in": user.is_authenticated})


urlpatterns = [path("page", whoami)]


def main():
    documented = {}
    exec(snippet("login.md", "python", "RemoteUserMiddleware"), documented)
    settings.configure(
        SECRET_KEY=KEY,
        ROOT_URLCONF=__name__,
        ALLOWED_HOSTS=["localhost"],
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
        INSTALLED_APPS=[
            "django.contrib.auth",
            "django.contrib.contenttypes",
            "django.contrib.sessions",
        ],
        MIDDLEWARE=documented["MIDDLEWARE"],
        AUTHENTICATION_BACKENDS=documented["AUTHENTICATION_BACKENDS"],
    )
    django.setup()
    call_command("migrate", verbosity=0)
    from django.contrib.auth import get_user_model

    with SoundCloud() as soundcloud:
        connections = Connections(soundcloud.oauth2(), MemoryStore())
        app = connections.login(get_wsgi_application(), secret_key=KEY)
        cookies = {}

        def ask(address, **options):
            """Ask as a browser, which keeps cookies."""
            header = "; ".join(f"{name}={value}" for name, value in cookies.items())
            request = Request.blank(address, base_url="http://localhost", **options)
            request.headers["Cookie"] = header
            request.headers["Origin"] = "http://localhost"
            response = request.get_response(app)
            for value in response.headers.getall("Set-Cookie"):
                name, _, rest = value.partition("=")
                cookies[name] = rest.partition(";")[0]
            return response

        told = {"stranger": ask("/page").json}
        connected = soundcloud.connect(app)
        cookies.update(connected.cookies)
        told["joe"] = ask("/page").json
        told["name"] = connections.of_user(told["joe"]["user"])[0].user
        ask("/sc-connect/sign-out", method="POST")
        told["after the sign-out"] = ask("/page").json
        told["users"] = [user.get_username() for user in get_user_model().objects.all()]
    print(json.dumps(told))


if __name__ == "__main__":
    main()
