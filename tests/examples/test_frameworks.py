"""The middleware around a site of each framework.

Both protocols, at the root and under a prefix, over sockets.
"""

import re
from urllib.parse import urlsplit
from wsgiref.util import setup_testing_defaults

import pytest
import webob
from support import frameworks, sites
from support.browser import ARRIVAL, Browser
from support.flows import flow_for
from support.paths import CHECKOUT
from support.responses import landed
from support.site import KEY, Mounted, Store, running_site
from support.sites import Boom

from scconnect_wsgi import HAND_OVER, SCConnect
from scconnect_wsgi.sandbox import Sandbox, serve

NOWHERE = "http://localhost:1"  # a provider that these tests never ask

both_protocols = pytest.mark.parametrize("protocol", ["oauth2", "oauth1"])
mounted = pytest.mark.parametrize("prefix", ["", "/shop"], ids=["at the root", "under a prefix"])


@pytest.fixture(scope="module")
def provider():
    with serve(Sandbox()) as server:
        yield server.url


@pytest.fixture(scope="module", params=frameworks.NAMES)
def app(request):
    """The site of a framework."""
    return frameworks.site(request.param)


@both_protocols
@mounted
def test_the_storage_callable_is_called_and_the_page_is_told(app, provider, protocol, prefix):
    store = Store()
    with (
        running_site(
            flow_for(protocol, provider), app=app, prefix=prefix, store_token=store
        ) as site,
        Browser() as joe,
    ):
        assert landed(joe.connect(site)) == {"username": "joe", "oauth_token_id": "43"}
        assert len(store.tokens) == 1
        assert joe.get(f"{site.url}/me").text == "nobody"


@both_protocols
@mounted
def test_the_framework_logs_the_user_in(app, provider, protocol, prefix):
    flow = flow_for(protocol, provider)
    with (
        running_site(flow, app=app, prefix=prefix, store_token=HAND_OVER) as site,
        Browser() as joe,
        Browser() as ann,
    ):
        answer = joe.connect(site)
        has_secret = "true" if protocol == "oauth1" else "false"
        assert landed(answer) == {"username": "joe", "has_secret": has_secret}
        assert urlsplit(answer.headers["Location"]).path == f"{prefix}/sc-connect/close.html"
        names = [cookie.name for cookie in joe.session.cookies]
        assert [name for name in names if re.fullmatch("scconnect-[0-9a-f]{24}", name)] == []
        assert joe.get(f"{site.url}/me").text == "joe"
        assert ann.get(f"{site.url}/me").text == "nobody"


@pytest.mark.threat(42)
@mounted
def test_threat_42_the_login_survives_an_answer_that_is_lost(app, provider, prefix):
    """The first answer of two, with the framework's session, never reaches the browser."""
    flow = flow_for("oauth2", provider)
    with (
        running_site(flow, app=app, prefix=prefix, store_token=HAND_OVER) as site,
        Browser() as joe,
        Browser() as lost,
    ):
        back = joe.decide(joe.click(site))
        lost.session.cookies.update(joe.session.cookies)
        first = lost.get(back, **ARRIVAL)
        assert joe.get(f"{site.url}/me").text == "nobody"
        second = joe.get(back, **ARRIVAL)
        assert urlsplit(second.headers["Location"])[2:] == urlsplit(first.headers["Location"])[2:]
        assert landed(second) == {"username": "joe", "has_secret": "false"}
        assert joe.get(f"{site.url}/me").text == "joe"


@both_protocols
@mounted
@pytest.mark.parametrize(
    ("path", "status"),
    [("/own", 200), ("/", 404), ("/oauth", 404), ("/error", 403), ("/stream", 200), ("/me", 200)],
)
def test_the_frameworks_responses_are_unchanged(app, protocol, prefix, path, status):
    alone = Called(app, prefix, path)
    wrapped = Called(app, prefix, path, protocol)
    assert int(alone.status.split()[0]) == status
    assert (wrapped.status, wrapped.headers, wrapped.body) == (
        alone.status,
        alone.headers,
        alone.body,
    )


@both_protocols
@mounted
def test_a_stream_stays_the_frameworks_own_object_until_it_is_closed(app, protocol, prefix):
    sites.ENDED.clear()
    stream = Called(app, prefix, "/stream", protocol, read=False)
    assert stream.iterable is stream.returned
    assert next(iter(stream.iterable)) == b"one "
    assert sites.ENDED == []
    stream.iterable.close()
    assert sites.ENDED == ["closed"]


@both_protocols
@mounted
def test_an_exception_passes_through(app, protocol, prefix):
    with pytest.raises(Boom, match="of the site's own") as raised:
        Called(app, prefix, "/raise", protocol)
    assert raised.type is Boom


class Called:
    """One request to an application in this process, wrapped if a protocol is given."""

    def __init__(self, app, prefix, path, protocol=None, *, read=True):
        def recorded(environ, start_response):
            self.returned = app(environ, start_response)
            return self.returned

        wrapped = recorded
        if protocol:
            wrapped = SCConnect(
                recorded, flow_for(protocol, NOWHERE), secret_key=KEY, store_token=HAND_OVER
            )
        environ = {"PATH_INFO": prefix + path, "SCRIPT_NAME": "", "HTTP_HOST": "localhost"}
        setup_testing_defaults(environ)
        self.iterable = (Mounted(wrapped, prefix) if prefix else wrapped)(environ, self._start)
        if read:
            self.body = b"".join(self.iterable)
            getattr(self.iterable, "close", lambda: None)()

    def _start(self, status, headers, exc_info=None):
        assert exc_info is None or exc_info[1] is None
        self.status = status
        self.headers = headers


if "flask" in frameworks.NAMES:  # and not a skip: under tox none may be left out

    def test_the_recipe_for_flask_login_names_the_user_who_is_signed_in():
        import flask
        import flask_login

        app = flask.Flask("a site", static_folder=None)
        app.secret_key = KEY
        manager = flask_login.LoginManager(app)

        @manager.user_loader
        def load(user_id):
            user = flask_login.UserMixin()
            user.id = user_id
            return user

        @app.get("/sign-in")
        def sign_in():
            flask_login.login_user(load("7"))
            return "signed in"

        text = (CHECKOUT / "docs" / "tokens.md").read_text("utf-8")
        recipes = re.findall(r"^```py\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
        (recipe,) = (recipe for recipe in recipes if "flask_login" in recipe)
        names = {"app": app, "flask_login": flask_login}
        exec(compile(recipe, "docs/tokens.md", "exec"), names)

        signed_in = app.test_client().get("/sign-in").headers["Set-Cookie"].partition(";")[0]
        ask = webob.Request.blank("/")
        assert names["identify"](ask) is None
        ask.headers["Cookie"] = signed_in
        assert names["identify"](ask) == "7"
