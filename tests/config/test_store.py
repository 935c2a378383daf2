"""The option ``store``: connections in a database, without code."""

import base64
import sqlite3
import sys
import traceback
from wsgiref.validate import validator

import pytest
from support import configured
from support.browser import Browser
from support.canary import met
from support.flows import CLIENT
from support.responses import landed
from support.site import Site, page_of_the_site

from scconnect_wsgi import HAND_OVER, SCConnect
from scconnect_wsgi.config import connections_from_env, filter_app_factory, from_env
from scconnect_wsgi.connections import Connections
from scconnect_wsgi.errors import ConfigurationError
from scconnect_wsgi.sandbox import Sandbox, serve
from scconnect_wsgi.stores.redis import RedisStore
from scconnect_wsgi.stores.sql import SQLStore

SECRET_KEY = "CAMOR1ri-a_random_key_0123456789_of_43_chars"
PASSWORD = "a-password-of-the-database"
CREDENTIALS = {
    "oauth2": {"client_id": CLIENT[0], "client_secret": CLIENT[1]},
    "oauth1": {"protocol": "oauth1", "consumer_key": CLIENT[0], "consumer_secret": CLIENT[1]},
}
SITE = {
    "secret_key": SECRET_KEY,
    "store": "sqlite://",
    "identify": "support.configured:identify",
}


@pytest.fixture(autouse=True)
def _keys_are_secrets():
    met(SECRET_KEY)


def options(protocol="oauth2", **changes):
    return {**SITE, **CREDENTIALS[protocol], **changes}


def variables(given):
    return {f"SCCONNECT_{name.upper()}": text for name, text in given.items()}


def by_environment(app, given):
    return from_env(app, variables(given))


def by_ini(app, given):
    return filter_app_factory(app, {}, **given)


both_ways = pytest.mark.parametrize("configure", [by_environment, by_ini])


def page_with_connections(environ, start_response):
    """Show the accounts of the user, by what the application finds in its environ."""
    connections = environ["scconnect.connections"]
    names = [each.account.username for each in connections.of_user("a user of the site")]
    start_response("200 OK", [("Content-Type", "text/plain; charset=utf-8")])
    return [" ".join(names).encode()]


@both_ways
@pytest.mark.parametrize("protocol", CREDENTIALS)
def test_a_site_without_code_keeps_connections(configure, protocol, tmp_path):
    url = f"sqlite:///{tmp_path / 'connections.sqlite3'}"
    with serve(Sandbox()) as sandbox:
        given = options(protocol, store=url)
        provider = {
            "oauth2": Sandbox().oauth2_provider,
            "oauth1": Sandbox().oauth1_provider,
        }[protocol](sandbox.url)
        names = ("authorize_url", "token_url", "request_token_url", "access_token_url", "api_url")
        given |= {name: getattr(provider, name) for name in names if hasattr(provider, name)}
        app = configure(page_with_connections, given)
        with serve(validator(app)) as server, Browser() as browser:
            site = Site(server.url.replace("127.0.0.1", "localhost"), None)
            assert browser.get(f"{site.url}/").text == ""
            assert landed(browser.connect(site))["username"] == "joe"
            assert browser.get(f"{site.url}/").text == "joe"
            page = {"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors"}
            answer = browser.get(f"{site.url}/sc-connect/connections.json", **page).json()
            (listed,) = answer["connections"]
            assert listed["username"] == "joe"
        worker = connections_from_env(variables({**given, "identify": "nowhere:at_all"}))
        (connection,) = worker.of_user("a user of the site")
        assert worker.session(connection.id, user="a user of the site").me().username == "joe"


@both_ways
def test_every_option_of_the_middleware_goes_with_a_store(configure):
    more = {
        "base_url": "http://localhost/shop",
        "request_token_path": "/start",
        "access_token_path": "/back",
        "assets_path": "/button",
        "cookie_max_age": "60",
        "sign_in_url": "/login",
        "on_failure": "HAND_OVER",
    }
    app = configure(page_of_the_site, options(**more))
    assert isinstance(app.connections, Connections)
    with serve(app) as server, Browser() as browser:
        url = server.url.replace("127.0.0.1", "localhost")
        assert "%2Fshop%2Fback" in browser.get(f"{url}/start").headers["Location"]
        assert browser.get(f"{url}/button/connections.json").status_code != 404


@pytest.mark.parametrize("kept", [True, False], ids=["store", "store_token"])
@both_ways
def test_events_are_heard_with_a_store_and_without_one(configure, kept, monkeypatch):
    heard = []
    monkeypatch.setattr(configured, "events", heard)
    more = {} if kept else {"store": "", "identify": "", "store_token": "HAND_OVER"}
    app = configure(page_of_the_site, options(on_event="support.configured:on_event", **more))
    with serve(app) as server, Browser() as browser:
        browser.get(f"{server.url.replace('127.0.0.1', 'localhost')}/oauth/request_token")
    assert heard == ["flow_started"]


def test_without_a_store_an_sc_connect_is_returned():
    given = options(store="", identify="", store_token="HAND_OVER")
    app = by_environment(page_of_the_site, given)
    assert isinstance(app, SCConnect)
    assert app._store_token is HAND_OVER


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("sqlite://", SQLStore),
        ("sqlite:///{folder}/a.sqlite3", SQLStore),
        ("redis://user:{password}@localhost:1/0", RedisStore),
        ("rediss://localhost:1", RedisStore),
        ("unix:///{folder}/redis.sock", RedisStore),
    ],
)
def test_the_scheme_chooses_the_store(url, kind, tmp_path):
    given = options(store=url.format(folder=tmp_path, password=PASSWORD))
    app = by_environment(page_of_the_site, given)
    assert isinstance(app.connections._store, kind)
    assert list(tmp_path.iterdir()) == []  # nothing is opened before it is needed


@both_ways
def test_the_url_may_be_in_a_file_because_it_holds_a_password(configure, tmp_path):
    file = tmp_path / "store"
    file.write_text(f"redis://user:{PASSWORD}@localhost:1/0\n")
    app = configure(page_of_the_site, options(store="", store_file=str(file)))
    assert isinstance(app.connections._store, RedisStore)
    worker = connections_from_env(variables(options(store="", store_file=str(file))))
    assert isinstance(worker._store, RedisStore)


@pytest.mark.parametrize("text", [f"user:{PASSWORD}@db.example/site", f"'redis://:{PASSWORD}@h'"])
def test_a_wrong_url_in_a_file_is_not_shown(text, tmp_path):
    (tmp_path / "store").write_text(text)
    given = options(store="", store_file=str(tmp_path / "store"))
    with pytest.raises(ConfigurationError) as caught:
        by_environment(page_of_the_site, given)
    assert caught.value.option == "SCCONNECT_STORE_FILE"
    assert PASSWORD not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("text", ["sqlite:///{folder}/db ", "sqlite:///{folder}/db\n \n"])
def test_a_blank_at_the_end_of_a_url_in_a_file_is_found(text, tmp_path):
    (tmp_path / "store").write_text(text.format(folder=tmp_path))
    given = options(store="", store_file=str(tmp_path / "store"))
    with pytest.raises(ConfigurationError, match="begins or ends with a space or a line break"):
        by_environment(page_of_the_site, given)


def test_the_nearer_of_a_store_in_a_file_and_store_token_wins(tmp_path):
    from paste.deploy import loadapp

    base = {**CREDENTIALS["oauth2"], "secret_key": SECRET_KEY, "store_file": "/nowhere"}
    lines = "\n".join(f"{name} = {text}" for name, text in base.items())
    (tmp_path / "site.ini").write_text(
        f"[filter:connect]\nuse = egg:scconnect-wsgi\n{lines}\n"
        "[filter:prod]\nuse = connect\nstore_token = HAND_OVER\n"
        "[pipeline:main]\npipeline = prod site\n"
        "[app:site]\npaste.app_factory = support.configured:app_factory\n"
    )
    assert isinstance(loadapp(f"config:{tmp_path / 'site.ini'}"), SCConnect)


@pytest.mark.parametrize("keys", [None, SECRET_KEY[::-1]], ids=["no key", "a key"])
def test_an_encryption_key_encrypts_cookies_and_tokens(keys, tmp_path):
    path = tmp_path / "connections.sqlite3"
    with serve(Sandbox()) as sandbox:
        provider = Sandbox().oauth2_provider(sandbox.url)
        given = options(
            store=f"sqlite:///{path}",
            authorize_url=provider.authorize_url,
            token_url=provider.token_url,
            api_url=provider.api_url,
            **({"encryption_key": keys} if keys else {}),
        )
        app = by_environment(page_of_the_site, given)
        with serve(app) as server, Browser() as browser:
            site = Site(server.url.replace("127.0.0.1", "localhost"), None)
            cookie = browser.get(site.start).headers["Set-Cookie"].partition("=")[2]
            assert base64.urlsafe_b64decode(cookie[:4]).startswith(b"\x01" if keys else b"[")
            assert landed(browser.connect(site))["username"] == "joe"
    connections = connections_from_env(variables(given))
    (connection,) = connections.of_user("a user of the site")
    database = sqlite3.connect(path)
    kept = "".join(database.iterdump())
    database.close()
    assert (connection.token.token in kept) == (keys is None)


WRONG = [
    ("store beside store_token", {"store_token": "HAND_OVER"}, "store", "exclude each other"),
    ("no scheme", {"store": "connections.sqlite3"}, "store", "a URL with a scheme"),
    ("a path", {"store": "/var/lib/site/a.sqlite3"}, "store", "a URL with a scheme"),
    ("a host", {"store": f"user:{PASSWORD}@db.example/site"}, "store", "must begin with"),
    ("no identify", {"identify": ""}, "identify", "is not set: with store, package.module"),
    ("no database", {"store": "mongodb://db.example/site"}, "store", "must begin with sqlite"),
    ("an old name", {"store": f"postgres://u:{PASSWORD}@h/d"}, "store", "postgresql+psycopg://"),
    ("no driver", {"store": f"mysql+mysqldb://u:{PASSWORD}@h/d"}, "store", "pip install"),
    ("a driver for asyncio", {"store": "sqlite+aiosqlite:///a"}, "store", "asyncio"),
    ("a wrong port", {"store": f"redis://u:{PASSWORD}@h:port/0"}, "store", ""),
    ("two slashes", {"store": "sqlite://connections.sqlite3"}, "store", "two slashes"),
    ("quotes", {"store": "'sqlite://'"}, "store", "is in quotes"),
    ("a comment", {"store": "sqlite:///a.sqlite3 # mine"}, "store", "a space and a #"),
    (
        "no API",
        {"authorize_url": "https://a.example/a", "token_url": "https://a.example/t"},
        "api_url",
        "is not set: with store it is needed",
    ),
    (
        "a path that is taken",
        {"access_token_path": "/sc-connect/connections.json"},
        "access_token_path",
        "an address of this package",
    ),
]


@both_ways
@pytest.mark.parametrize(
    ("changes", "option", "words"), [each[1:] for each in WRONG], ids=[each[0] for each in WRONG]
)
def test_a_mistake_names_the_option_and_shows_no_password(configure, changes, option, words):
    with pytest.raises(ConfigurationError) as caught:
        configure(page_of_the_site, options(**changes))
    error = caught.value
    assert error.option.removeprefix("SCCONNECT_").lower() == option
    assert words in error.problem
    assert len(error.message.splitlines()) == 1
    assert PASSWORD not in "".join(traceback.format_exception(error))
    assert PASSWORD not in repr(error)


def test_store_and_store_token_are_both_named():
    with pytest.raises(ConfigurationError) as caught:
        by_environment(page_of_the_site, options(store_token="HAND_OVER"))
    assert caught.value.message == (
        "SCCONNECT_STORE and SCCONNECT_STORE_TOKEN exclude each other: give only one of them."
    )


@pytest.mark.parametrize(
    ("url", "package", "extra"),
    [("sqlite://", "sqlalchemy", "sql"), ("redis://localhost", "redis", "redis")],
)
def test_a_missing_extra_is_named(url, package, extra, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.delitem(sys.modules, f"scconnect_wsgi.stores.{extra}", raising=False)
    for name in [name for name in sys.modules if name.startswith("scconnect_wsgi.stores._")]:
        monkeypatch.delitem(sys.modules, name)
    with pytest.raises(ConfigurationError) as caught:
        by_environment(page_of_the_site, options(store=url))
    assert caught.value.message == (
        "SCCONNECT_STORE needs a package that is not there. The package "
        f"{package} is not installed: pip install 'scconnect-wsgi[{extra}]'"
    )


def test_an_encryption_key_must_not_be_the_client_secret():
    given = options(encryption_key=SECRET_KEY[::-1], client_secret=SECRET_KEY[::-1])
    with pytest.raises(ConfigurationError, match="must not be the client secret") as caught:
        connections_from_env(variables(given))
    assert caught.value.option == "SCCONNECT_ENCRYPTION_KEY"


def test_a_worker_needs_a_store():
    with pytest.raises(ConfigurationError) as caught:
        connections_from_env(variables(CREDENTIALS["oauth2"]))
    assert caught.value.message == (
        "SCCONNECT_STORE is not set: give the URL of a database, such as "
        "sqlite:///connections.sqlite3."
    )


def test_the_nearer_of_store_and_store_token_wins(tmp_path, monkeypatch):
    from paste.deploy import loadapp

    configured.store_token.tokens.clear()
    base = {**CREDENTIALS["oauth2"], "secret_key": SECRET_KEY, "store_token": "HAND_OVER"}
    lines = "\n".join(f"{name} = {text}" for name, text in base.items())
    (tmp_path / "site.ini").write_text(
        f"[filter:connect]\nuse = egg:scconnect-wsgi\n{lines}\n"
        "[filter:prod]\nuse = connect\nstore = sqlite:///%(here)s/a.sqlite3\n"
        "identify = support.configured:identify\n"
        "[pipeline:main]\npipeline = prod site\n"
        "[app:site]\npaste.app_factory = support.configured:app_factory\n"
    )
    app = loadapp(f"config:{tmp_path / 'site.ini'}")
    assert isinstance(app.connections, Connections)
