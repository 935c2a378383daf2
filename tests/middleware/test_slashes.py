"""Callbacks with a slash at their end, and frameworks that redirect to such an address."""

from types import ModuleType
from typing import Any
from urllib.parse import urlsplit

import pytest
from support.browser import ARRIVAL
from support.flows import flow_for
from support.responses import landed, query
from support.site import KEY, page_of_the_site, running_site

from scconnect_wsgi import HAND_OVER, SCConnect
from scconnect_wsgi.config import from_env
from scconnect_wsgi.errors import ConfigurationError
from scconnect_wsgi.middleware._hand_over import warn_if_lost

ALLAUTH = "/accounts/soundcloud/login/callback/"


@pytest.fixture(params=["oauth1", "oauth2"])
def flow(request, provider):
    return flow_for(request.param, provider.url)


@pytest.mark.parametrize("prefix", ["", "/shop"], ids=["root", "prefix"])
def test_a_registered_callback_may_end_with_a_slash(flow, browser, prefix):
    paths = {"request_token_path": "/accounts/soundcloud/login/", "access_token_path": ALLAUTH}
    with running_site(flow, prefix=prefix, **paths) as site:
        site.start = f"{site.url}/accounts/soundcloud/login/"
        back = browser.decide(browser.click(site))
        assert urlsplit(back).path == prefix + ALLAUTH
        assert landed(browser.get(back, **ARRIVAL))["username"] == "joe"
        # Without the slash it is another address
        other = browser.get(site.url + ALLAUTH[:-1], **ARRIVAL)
        assert other.text == f"the site's own page at {ALLAUTH[:-1]!r}"


@pytest.mark.parametrize("option", ["request_token_path", "access_token_path"])
@pytest.mark.parametrize("path", ["/", "//", "/a//", "//a/", "/./", "/a/../", "/a /", "a/", "", 5])
def test_a_path_that_is_no_endpoint_is_refused(flow, option, path):
    with pytest.raises(ConfigurationError) as refused:
        SCConnect(page_of_the_site, flow, secret_key=KEY, store_token=HAND_OVER, **{option: path})
    assert refused.value.option == option


def test_the_folder_of_the_browser_files_has_no_slash(flow):
    with pytest.raises(ConfigurationError, match="assets_path"):
        SCConnect(
            page_of_the_site, flow, secret_key=KEY, store_token=HAND_OVER, assets_path="/files/"
        )


def test_the_environment_may_name_such_a_callback(monkeypatch):
    for name, value in {
        "CLIENT_ID": "id",
        "CLIENT_SECRET": "the secret of the client",
        "SECRET_KEY": KEY.replace(" ", "-"),
        "STORE_TOKEN": "HAND_OVER",
        "BASE_URL": "https://app.example",
        "ACCESS_TOKEN_PATH": ALLAUTH,
    }.items():
        monkeypatch.setenv(f"SCCONNECT_{name}", value)
    application: Any = from_env(page_of_the_site)
    assert ALLAUTH in application._routes


# An application that redirects before any code of the site has run


def close(environ):
    """Return the address at which the flow ends; fail if nothing was handed over."""
    assert "scconnect.token" in environ or "scconnect.error" in environ
    return environ["scconnect.close_url"]({"username": "joe"})


@pytest.fixture
def django_site():
    """Return a callable: a Django application with APPEND_SLASH whose only page is at a route."""
    from support.sites.django import site as with_its_own_settings

    with_its_own_settings()  # those that these tests change
    from django.core.handlers.wsgi import WSGIHandler
    from django.http import HttpResponseRedirect
    from django.test import override_settings
    from django.urls import path

    routes: Any = ModuleType("routes")
    routes.urlpatterns = []

    def site(route):
        page = path(route[1:], lambda request: HttpResponseRedirect(close(request.environ)))
        routes.urlpatterns.append(page)
        return WSGIHandler()

    with override_settings(
        ROOT_URLCONF=routes,
        APPEND_SLASH=True,
        MIDDLEWARE=["django.middleware.common.CommonMiddleware"],
    ):
        yield site


@pytest.fixture
def flask_site():
    """Return a callable: a Flask application whose only page is at a route."""
    import flask

    def site(route):
        application = flask.Flask(__name__)
        application.add_url_rule(
            route, "page", lambda: flask.redirect(close(flask.request.environ))
        )
        return application

    return site


def warnings(caplog):
    return [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]


@pytest.mark.frameworks
@pytest.mark.parametrize("framework", ["django_site", "flask_site"])
@pytest.mark.parametrize("choice", ["allow", "deny"])
@pytest.mark.parametrize("prefix", ["", "/shop"], ids=["root", "prefix"])
def test_a_framework_that_adds_the_slash_is_told_that_the_token_is_lost(
    request, framework, flow, browser, choice, prefix, caplog
):
    app = request.getfixturevalue(framework)("/oauth/access_token/")
    options = {"app": app, "store_token": HAND_OVER, "on_failure": HAND_OVER, "prefix": prefix}
    with running_site(flow, **options) as site:
        response = browser.connect(site, choice)
    assert response.status_code in (301, 308)
    lost = "scconnect.token" if choice == "allow" else "scconnect.error"
    said = warnings(caplog)[-1]
    assert f'environ["{lost}"] is lost' in said
    assert 'access_token_path="/oauth/access_token/"' in said


@pytest.mark.frameworks
@pytest.mark.parametrize("framework", ["django_site", "flask_site"])
@pytest.mark.parametrize("choice", ["allow", "deny"])
def test_the_advice_of_that_warning_is_true(request, framework, flow, browser, choice, caplog):
    app = request.getfixturevalue(framework)("/oauth/access_token/")
    options = {"app": app, "store_token": HAND_OVER, "on_failure": HAND_OVER}
    with running_site(flow, access_token_path="/oauth/access_token/", **options) as site:
        assert landed_by_redirect(browser.connect(site, choice))["username"] == "joe"
    assert "is lost" not in caplog.text


def landed_by_redirect(response):
    """Return the query of close.html, to which frameworks redirect with another status than 303."""
    assert response.status_code == 302
    return query(response.headers["Location"])


@pytest.mark.parametrize(
    ("callback", "location", "lost"),
    [
        ("/oauth/access_token", "/shop/oauth/access_token/", True),
        ("/oauth/access_token", "https://localhost/shop/oauth/access_token/", True),
        ("/oauth/access_token", "https://localhost/shop/oauth/access_token/?a=b#c", True),
        ("/oauth/access_token", "https://www.localhost/shop/oauth/access_token", True),
        ("/oauth/access_token", "access_token/", True),
        ("/oauth/access_token", "/shop/oauth/access%5Ftoken/", True),
        ("/oauth/access_token", "", True),
        ("/oauth/access_token/", "/shop/oauth/access_token", True),
        ("/oauth/access_token", "/shop/account", False),
        ("/oauth/access_token", "/shop/oauth/access_token/done", False),
        ("/oauth/access_token", "https://localhost", False),
    ],
)
def test_each_redirect_to_the_same_address_is_noticed(
    flow, browser, callback, location, lost, caplog
):
    def app(environ, start_response):
        start_response("301 Moved", [("location", location), ("Content-Type", "text/plain")])
        return [b""]

    options = {"access_token_path": callback, "store_token": HAND_OVER, "prefix": "/shop"}
    with running_site(flow, app=app, **options) as site:
        site.callback = site.url + callback
        assert browser.connect(site).headers["Location"] == location
    assert ("is lost" in caplog.text) == lost


def test_no_other_response_is_taken_for_a_redirect(flow, browser, caplog):
    def app(environ, start_response):
        headers = [("Location", "/oauth/access_token/"), ("Content-Type", "text/plain")]
        start_response("200 OK", headers)
        return [b"Connected"]

    with running_site(flow, app=app, store_token=HAND_OVER) as site:
        assert browser.connect(site).text == "Connected"
    assert "is lost" not in caplog.text


def test_a_location_that_cannot_be_read_is_passed_on(caplog):
    def app(environ, start_response):
        start_response("302 Found", [("Location", "http://[")])
        return [b""]

    passed = []
    environ = {"PATH_INFO": "/oauth/access_token"}
    warn_if_lost(app, "scconnect.token")(environ, lambda *started: passed.append(started))
    assert passed == [("302 Found", [("Location", "http://[")])]
    assert caplog.text == ""
