"""The middleware without code.

It is made from the environment, and from an ini file through PasteDeploy itself.
"""

import base64
import importlib
import importlib.metadata
import inspect
import re
import subprocess
import sys
import traceback
from contextlib import contextmanager
from wsgiref.validate import validator

import pytest
from paste.deploy import loadapp
from support import configured
from support.browser import ARRIVAL, Browser
from support.canary import met
from support.commands import environment
from support.flows import CLIENT
from support.paths import CHECKOUT
from support.responses import landed, query
from support.site import Site, page_of_the_site

from scconnect_wsgi import (
    HAND_OVER,
    SOUNDCLOUD,
    SOUNDCLOUD_2009,
    OAuth1Provider,
    OAuth2Provider,
    Transport,
)
from scconnect_wsgi.config import _names, filter_app_factory, from_env
from scconnect_wsgi.config._options import OPTIONS
from scconnect_wsgi.config._settings import parse
from scconnect_wsgi.errors import ConfigurationError
from scconnect_wsgi.sandbox import Sandbox, serve

SECRET_KEY = "CAMOR1ri-a_random_key_0123456789_of_43_chars"
OTHER_KEY = "SB7Kf2Qw6Ej4Rt9Yu1Io3Pa7Sd5Fg0HlXcVbNmZqT8e"
COMMON = {"secret_key": SECRET_KEY, "store_token": "support.configured:store_token"}
GOOD = {
    "oauth2": {**COMMON, "client_id": CLIENT[0], "client_secret": CLIENT[1]},
    "oauth1": {
        **COMMON,
        "protocol": "oauth1",
        "consumer_key": CLIENT[0],
        "consumer_secret": CLIENT[1],
    },
}
INI = """
[DEFAULT]
debug = true

[filter-app:main]
use = egg:scconnect-wsgi
next = site
{options}

[app:site]
paste.app_factory = support.configured:app_factory
"""
both_protocols = pytest.mark.parametrize("protocol", GOOD)


@pytest.fixture(autouse=True)
def _nothing_stored_yet():
    met(SECRET_KEY)
    configured.store_token.tokens.clear()


@pytest.fixture(scope="module", autouse=True)
def _installed(tmp_path_factory):
    """What `egg:scconnect-wsgi` looks for.

    A checkout on PYTHONPATH has none: made of setup.py, as pip does.
    """
    try:
        importlib.metadata.distribution("scconnect-wsgi")
    except importlib.metadata.PackageNotFoundError:
        folder = tmp_path_factory.mktemp("metadata")
        command = [sys.executable, "setup.py", "-q", "egg_info", "--egg-base", str(folder)]
        subprocess.run(command, cwd=CHECKOUT, check=True, capture_output=True)
        sys.path.append(str(folder))
        importlib.invalidate_caches()
        yield
        sys.path.remove(str(folder))
    else:
        yield


def provider_of(application):
    return application._flow.provider


def in_environ(options):
    return {f"SCCONNECT_{name.upper()}": text for name, text in options.items()}


def by_environment(options, monkeypatch, tmp_path):
    for name, text in in_environ(options).items():
        monkeypatch.setenv(name, text)
    return from_env(page_of_the_site)


def by_ini(options, monkeypatch, tmp_path):
    lines = (f"{name} = {text.replace('%', '%%')}" for name, text in options.items())
    path = tmp_path / "site.ini"
    path.write_text(INI.format(options="\n".join(lines)), "utf-8")
    return loadapp(f"config:{path}")


both_ways = pytest.mark.parametrize("configure", [by_environment, by_ini])


@contextmanager
def running(app):
    with serve(validator(app)) as server, Browser() as browser:
        yield Site(server.url.replace("127.0.0.1", "localhost"), configured.store_token), browser


def addresses(protocol, root):
    if protocol == "oauth1":
        steps = {
            "request_token_url": "request_token",
            "authorize_url": "authorize",
            "access_token_url": "access_token",
        }
        return {name: f"{root}/oauth/{step}" for name, step in steps.items()}
    return {"authorize_url": f"{root}/authorize", "token_url": f"{root}/oauth/token"}


# The whole dance


@both_ways
@both_protocols
def test_a_configured_site_connects(configure, protocol, monkeypatch, tmp_path):
    with serve(Sandbox()) as sandbox:
        options = {**GOOD[protocol], **addresses(protocol, sandbox.url)}
        with running(configure(options, monkeypatch, tmp_path)) as (site, browser):
            assert landed(browser.connect(site)) == {"username": "joe", "oauth_token_id": "43"}
            assert landed(browser.connect(site, "deny"))["error"] == "access_denied"
            assert (
                browser.get(f"{site.url}/elsewhere").text == "the site's own page at '/elsewhere'"
            )
    (token,) = configured.store_token.tokens
    assert bool(token.token_secret) == (protocol == "oauth1")


@both_ways
def test_every_callable_and_path_of_the_site_can_be_named(configure, monkeypatch, tmp_path):
    options = {
        **GOOD["oauth2"],
        "base_url": "http://localhost/shop/",
        "request_token_path": "/start",
        "access_token_path": "/back",
        "assets_path": "/button",
        "identify": "support.configured:identify",
        "sign_in_url": "/login?lang=de",
        "on_failure": "support.configured:on_failure",
    }
    with running(configure(options, monkeypatch, tmp_path)) as (site, browser):
        departure = browser.get(f"{site.url}/start").headers["Location"]
        home = browser.get(f"{site.url}/back?state=unknown&code=made-up", **ARRIVAL).headers[
            "Location"
        ]
        assert browser.get(f"{site.url}/button/sc-connect.js").ok
    assert query(departure)["redirect_uri"] == "http://localhost/shop/back"
    assert home.startswith("/shop/button/close.html?failed=flow_mismatch&error_id=")


@both_ways
def test_the_wrapped_application_can_take_over(configure, monkeypatch, tmp_path):
    options = {**GOOD["oauth2"], "store_token": "HAND_OVER", "on_failure": "HAND_OVER"}
    app = configure(options, monkeypatch, tmp_path)
    assert app._store_token is HAND_OVER
    with running(app) as (site, browser):
        assert browser.get(f"{site.callback}?state=unknown", **ARRIVAL).text.startswith(
            "the site's own page"
        )


@both_ways
@pytest.mark.threat(50)
def test_50_a_callback_can_be_relayed(configure, monkeypatch, tmp_path):
    key = tmp_path / "key"
    key.write_text(f"{SECRET_KEY[::-1]}\n")
    callback_url = "https://app.example/oauth/access_token"
    laptop = {
        **GOOD["oauth2"],
        "base_url": "http://localhost:8000",
        "callback_url": callback_url,
        "relay_key_file": str(key),
    }
    with running(configure(laptop, monkeypatch, tmp_path)) as (site, browser):
        departure = query(browser.click(site))
    assert departure["redirect_uri"] == callback_url
    for name in ("base_url", "callback_url", "relay_key_file"):
        monkeypatch.delenv(f"SCCONNECT_{name.upper()}", raising=False)
    production = {
        **GOOD["oauth2"],
        "base_url": "https://app.example",
        "relay_to": "https://staging.example,http://localhost:8000\n  http://localhost:9000",
        "relay_key": f"{SECRET_KEY[::-1].swapcase()} {SECRET_KEY[::-1]}",
    }
    with running(configure(production, monkeypatch, tmp_path)) as (site, browser):
        back = f"{site.callback}?code=4&state={departure['state']}"
        relayed = browser.get(back, **ARRIVAL).headers["Location"]
    assert relayed == f"http://localhost:8000/oauth/access_token?code=4&state={departure['state']}"


# Where the values go


@both_ways
def test_every_option_of_a_provider_of_today_reaches_it(configure, monkeypatch, tmp_path):
    options = {
        **GOOD["oauth2"],
        "authorize_url": "https://id.example/authorize",
        "token_url": "https://id.example/token",
        "api_url": "https://api.example",
        "sign_out_url": "https://id.example/out",
        "issuer": "https://id.example",
        "token_type": "Bearer",
        "token_endpoint_auth": "client_secret_basic",
        "authorize_params": "prompt=consent  audience=a=b%20c",
        "headers": "User-Agent='MySite/1.0 (+https://my.example)'\n  X-Key=abc",
        "scope": "tracks playlists",
        "timeout": "2.5",
        "max_bytes": "1000",
        "proxy": "http://proxy.example:3128",
    }
    flow = configure(options, monkeypatch, tmp_path)._flow
    assert flow.provider == OAuth2Provider(
        options["authorize_url"],
        options["token_url"],
        api_url="https://api.example",
        sign_out_url="https://id.example/out",
        issuer="https://id.example",
        token_type="Bearer",
        token_endpoint_auth="client_secret_basic",
        authorize_params={"prompt": "consent", "audience": "a=b%20c"},
        headers={"User-Agent": "MySite/1.0 (+https://my.example)", "X-Key": "abc"},
    )
    assert (
        query(flow.begin("https://app.example/back").authorize_url)["scope"] == "tracks playlists"
    )
    assert flow.transport == Transport(
        timeout=2.5, max_bytes=1000, proxy="http://proxy.example:3128"
    )


@both_ways
def test_every_option_of_a_provider_of_2009_reaches_it(configure, monkeypatch, tmp_path):
    options = {
        **GOOD["oauth1"],
        **addresses("oauth1", "https://id.example"),
        "api_url": "https://api.example",
        "signature_method": "HMAC-SHA256",
        "realm": "photos",
        "request_token_params": "scope=read",
        "authorize_params": "perms=read",
    }
    assert configure(options, monkeypatch, tmp_path)._flow.provider == OAuth1Provider(
        **addresses("oauth1", "https://id.example"),
        api_url="https://api.example",
        signature_method="HMAC-SHA256",
        realm="photos",
        request_token_params={"scope": "read"},
        authorize_params={"perms": "read"},
    )


@both_ways
@pytest.mark.parametrize("protocol", ["oauth2", "oauth1"])
def test_the_word_none_stands_for_an_empty_value(configure, protocol, monkeypatch, tmp_path):
    options = {
        **GOOD[protocol],
        **addresses(protocol, "https://id.example"),
        "api_url": "https://api.example",
        "account_path": "none",
        "authorize_params": "none",
    }
    provider = configure(options, monkeypatch, tmp_path)._flow.provider
    assert (provider.account_path, provider.authorize_params) == ("", {})
    options |= {"account_path": "", "authorize_params": ""}
    provider = configure(options, monkeypatch, tmp_path)._flow.provider
    assert (provider.account_path, provider.authorize_params) == ("/me", {"display": "popup"})


@pytest.mark.parametrize(
    ("protocol", "provider"), [("oauth2", SOUNDCLOUD), ("oauth1", SOUNDCLOUD_2009)]
)
def test_without_addresses_the_provider_is_soundcloud(protocol, provider):
    assert provider_of(from_env(page_of_the_site, in_environ(GOOD[protocol]))) == provider
    app = from_env(page_of_the_site, in_environ({**GOOD[protocol], "headers": "X-Key=abc"}))
    assert provider_of(app).authorize_url == provider.authorize_url
    assert provider_of(app).headers == {"X-Key": "abc"}


def test_an_empty_option_counts_as_unset():
    empty = dict.fromkeys(set(OPTIONS) - set(GOOD["oauth2"]), "")
    app = from_env(page_of_the_site, in_environ({**empty, **GOOD["oauth2"]}))
    assert provider_of(app) == SOUNDCLOUD


def test_a_flow_of_the_old_key_is_finished_by_the_new_one(tmp_path, monkeypatch):
    new = SECRET_KEY[::-1]
    with serve(Sandbox()) as sandbox:
        options = {**GOOD["oauth2"], **addresses("oauth2", sandbox.url)}
        old, both = (
            by_ini({**options, "secret_key": keys}, monkeypatch, tmp_path)
            for keys in (SECRET_KEY, f"{SECRET_KEY}\n {new}")
        )
        apps = [old]
        with running(lambda environ, start_response: apps[-1](environ, start_response)) as (
            site,
            browser,
        ):
            back = browser.decide(browser.click(site))
            apps.append(both)
            assert landed(browser.get(back, **ARRIVAL))["username"] == "joe"


@pytest.mark.threat(18)
@both_ways
@pytest.mark.parametrize(
    "keys", [OTHER_KEY, f"{OTHER_KEY} {OTHER_KEY[::-1]}"], ids=["one key", "two keys"]
)
def test_18_with_an_encryption_key_the_cookie_cannot_be_read(
    configure, keys, monkeypatch, tmp_path
):
    with serve(Sandbox()) as sandbox:
        for option in ("", "encryption_key"):
            options = {
                **GOOD["oauth2"],
                **addresses("oauth2", sandbox.url),
                **({option: keys} if option else {}),
            }
            with running(configure(options, monkeypatch, tmp_path)) as (site, browser):
                value = browser.get(site.start).headers["Set-Cookie"].partition("=")[2]
                assert base64.urlsafe_b64decode(value[:4]).startswith(b"\x01" if option else b"[")
                assert landed(browser.connect(site))["username"] == "joe"


@both_protocols
def test_every_secret_can_come_from_a_file(protocol, tmp_path):
    options = {**GOOD[protocol], "encryption_key": SECRET_KEY[::-1]}
    for name in set(options) & {"client_secret", "consumer_secret", "secret_key", "encryption_key"}:
        path = tmp_path / name
        path.write_text(options.pop(name) + "\n")
        options[f"{name}_file"] = str(path)
    with serve(Sandbox()) as sandbox:
        app = filter_app_factory(
            page_of_the_site, None, **options, **addresses(protocol, sandbox.url)
        )
        with running(app) as (site, browser):
            assert landed(browser.connect(site))["username"] == "joe"


def test_an_rsa_key_from_a_file_takes_the_place_of_the_consumer_secret(tmp_path):
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    form = (
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    path = tmp_path / "key.pem"
    path.write_bytes(key.private_bytes(*form))
    options = {
        **GOOD["oauth1"],
        "consumer_secret": "",
        "signature_method": "RSA-SHA1",
        "rsa_key_file": str(path),
    }
    app = filter_app_factory(page_of_the_site, {}, **options)
    assert provider_of(app).signature_method == "RSA-SHA1"


# What is wrong


def wrong(sentence, protocol, option, words, /, **changes):
    return pytest.param(protocol, option, words, changes, id=sentence)


WRONG = [
    wrong(
        "a mistyped option",
        "oauth2",
        "client_sceret",
        "Did you mean client_secret?",
        client_sceret="typed-by-hand",
    ),
    *(
        wrong(
            f"{option} in {quote}",
            protocol,
            option,
            "is in quotes",
            **{option: quote + text + quote},
        )
        for quote in ("'", '"')
        for protocol, option, text in [
            ("oauth2", "client_id", "an-id-of-soundcloud"),
            ("oauth2", "client_secret", "a-secret-of-soundcloud"),
            ("oauth2", "secret_key", SECRET_KEY),
            ("oauth2", "secret_key", f"{SECRET_KEY} {SECRET_KEY[::-1]}"),
            ("oauth2", "encryption_key", SECRET_KEY),
            ("oauth2", "encryption_key_file", "/run/secrets/key"),
            ("oauth2", "base_url", "https://app.example"),
            ("oauth2", "store_token", "support.configured:store_token"),
            ("oauth2", "timeout", "10"),
            ("oauth2", "scope", "tracks and playlists"),
            ("oauth2", "headers", "User-Agent=MySite/1.0"),
            ("oauth2", "proxy", "http://proxy.example:3128"),
            ("oauth1", "realm", "photos of the site"),
        ]
    ),
    *(
        wrong(f"{option} before a comment", "oauth2", option, "a space and a #", **{option: text})
        for option, text in [
            ("client_id", "an-id-of-soundcloud # mine"),
            ("base_url", "https://app.example  # the site"),
            ("store_token", "HAND_OVER\t#no callable"),
            ("cookie_max_age", "600 # ten minutes"),
            ("protocol", "oauth2 # not 1"),
            ("scope", "tracks #and playlists"),
            ("secret_key", f"{SECRET_KEY} # made by scconnect secret"),
            ("headers", "User-Agent=MySite/1.0 # of ours"),
            ("headers", "User-Agent=MySite/1.0 #X-Key=of-another-day"),
            ("api_url", "https://api.example #v2"),
        ]
    ),
    wrong(
        "an ini comment", "oauth2", "base_url", "a space and a ;", base_url="https://a.example ; it"
    ),
    wrong("a protocol in quotes", "oauth2", "protocol", "is in quotes", protocol="'oauth2'"),
    wrong("a third protocol", "oauth2", "protocol", "oauth2 or oauth1", protocol="oauth3"),
    wrong("no client id", "oauth2", "client_id", "is not set", client_id=""),
    wrong("no client secret", "oauth2", "client_secret", "is not set", client_secret=""),
    wrong("no consumer key", "oauth1", "consumer_key", "is not set", consumer_key=""),
    wrong("no consumer secret", "oauth1", "consumer_secret", "is not set", consumer_secret=""),
    wrong("no secret key", "oauth2", "secret_key", "is not set: `scconnect secret`", secret_key=""),
    wrong(
        "no store_token",
        "oauth2",
        "store_token",
        "is not set: give package.module:callable",
        store_token="",
    ),
    wrong(
        "a secret with a line break",
        "oauth2",
        "client_secret",
        "line break",
        client_secret="copied-with-it\n",
    ),
    wrong(
        "a secret that is no ASCII",
        "oauth2",
        "client_secret",
        "ASCII",
        client_secret="geh\xe9im-und-lang",
    ),
    wrong(
        "a secret twice",
        "oauth2",
        "client_secret_file",
        "and client_secret are the",
        client_secret_file="/nowhere",
    ),
    wrong(
        "a secret file that is missing",
        "oauth2",
        "secret_key_file",
        "No such file",
        secret_key="",
        secret_key_file="/nowhere",
    ),
    wrong(
        "a secret file that is binary",
        "oauth2",
        "secret_key_file",
        "UTF-8",
        secret_key="",
        secret_key_file=sys.executable,
    ),
    wrong(
        "a secret file that is empty",
        "oauth2",
        "secret_key_file",
        "an empty file",
        secret_key="",
        secret_key_file="/dev/null",
    ),
    wrong("a short key", "oauth2", "secret_key", "at least 32", secret_key="too-short-to-be-a-key"),
    wrong(
        "a short key beside a good one",
        "oauth2",
        "secret_key",
        "at least 32",
        secret_key=f"short-and-old {SECRET_KEY}",
    ),
    wrong(
        "a short key to encrypt",
        "oauth2",
        "encryption_key",
        "at least 32",
        encryption_key=f"short {SECRET_KEY}",
    ),
    wrong("a key to guess", "oauth2", "secret_key", "6 different characters", secret_key="ab" * 20),
    wrong("a key of blanks", "oauth2", "secret_key", "must not be empty", secret_key="  "),
    wrong(
        "one secret for two",
        "oauth2",
        "secret_key",
        "must not be the client secret",
        client_secret=SECRET_KEY,
    ),
    wrong(
        "a secret that everybody knows",
        "oauth2",
        "secret_key",
        "nor the client id",
        client_id=SECRET_KEY,
    ),
    wrong(
        "the same in OAuth 1.0a",
        "oauth1",
        "secret_key",
        "nor the client id",
        consumer_key=SECRET_KEY,
    ),
    wrong(
        "store_token without a colon",
        "oauth2",
        "store_token",
        "dotted name",
        store_token="support.configured",
    ),
    wrong(
        "store_token in no module",
        "oauth2",
        "store_token",
        "(ModuleNotFoundError)",
        store_token="nowhere:store",
    ),
    wrong(
        "store_token not there",
        "oauth2",
        "store_token",
        "(AttributeError)",
        store_token="support.paths:nothing",
    ),
    wrong(
        "store_token no callable",
        "oauth2",
        "store_token",
        "not callable",
        store_token="support.paths:TESTS",
    ),
    wrong(
        "sign_in elsewhere",
        "oauth2",
        "sign_in_url",
        "path of a page of this site",
        identify="support.configured:identify",
        sign_in_url="https://evil.example/login",
    ),
    wrong("identify handed over", "oauth2", "identify", "dotted name", identify="HAND_OVER"),
    wrong(
        "on_failure in no module", "oauth2", "on_failure", "imported", on_failure="nowhere:failed"
    ),
    wrong(
        "a base_url without https", "oauth2", "base_url", "https://", base_url="http://app.example"
    ),
    wrong(
        "a relative path", "oauth2", "assets_path", "begins with a slash", assets_path="sc-connect"
    ),
    wrong(
        "two paths that are one",
        "oauth2",
        "request_token_path",
        "must differ",
        request_token_path="/oauth/access_token",
    ),
    wrong(
        "an age in words", "oauth2", "cookie_max_age", "whole number", cookie_max_age="ten minutes"
    ),
    wrong(
        "a relay without a key",
        "oauth2",
        "relay_key",
        "is missing",
        relay_to="http://localhost:8000",
    ),
    wrong(
        "a relay to every host", "oauth2", "relay_to", "in full", relay_to="https://*.app.example"
    ),
    wrong(
        "a relay_key that the provider knows",
        "oauth2",
        "relay_key",
        "must not be the client secret",
        client_secret=SECRET_KEY[::-1],
        relay_key=SECRET_KEY[::-1],
    ),
    wrong(
        "another path than the registered one",
        "oauth2",
        "callback_url",
        "must end with",
        callback_url="https://app.example/back",
        relay_key=SECRET_KEY[::-1],
    ),
    wrong("an age of a day", "oauth2", "cookie_max_age", "at most 900", cookie_max_age="86400"),
    wrong("a timeout in words", "oauth2", "timeout", "a number", timeout="10 seconds"),
    wrong("a timeout that is no number", "oauth2", "timeout", "above 0", timeout="nan"),
    wrong("a fraction of a byte", "oauth2", "max_bytes", "whole number", max_bytes="0.5"),
    wrong("no byte", "oauth2", "max_bytes", "at least 1", max_bytes="0"),
    wrong(
        "a CA bundle that is missing", "oauth2", "ca_bundle", "PEM", ca_bundle="/nowhere/at/all.pem"
    ),
    wrong(
        "a proxy that is no URL",
        "oauth2",
        "proxy",
        "http://host:port",
        proxy="user:a-password@proxy",
    ),
    wrong(
        "half of an address",
        "oauth2",
        "token_url",
        "all addresses",
        authorize_url="https://id.example/authorize",
    ),
    wrong(
        "a third of an address",
        "oauth1",
        "access_token_url",
        "all addresses",
        request_token_url="https://a.example/r",
        authorize_url="https://a.example/a",
    ),
    wrong("an address over http", "oauth2", "api_url", "https://", api_url="http://api.example/v1"),
    wrong("an issuer that is no URL", "oauth2", "issuer", "full URL", issuer="id.example.com"),
    wrong("a token type of two words", "oauth2", "token_type", "one word", token_type="O Auth"),
    wrong("a scope of two lines", "oauth2", "scope", "one line", scope="tracks\nplaylists"),
    wrong(
        "a header without a value",
        "oauth2",
        "headers",
        "name=value",
        headers="X-Key a-secret-value",
    ),
    wrong(
        "a header twice",
        "oauth2",
        "headers",
        "each name once",
        headers="X-Key=one-of-many X-Key=another-one",
    ),
    wrong(
        "a quote that stays open", "oauth2", "headers", "quotes", headers="X-Key='a-secret-value"
    ),
    wrong(
        "a header that is ours",
        "oauth2",
        "headers",
        "must not hold Authorization: it is made for each request",
        headers="Authorization=a-secret-value",
    ),
    wrong(
        "a parameter that is ours",
        "oauth2",
        "authorize_params",
        "protocol itself",
        authorize_params="state=made-up-by-me",
    ),
    wrong(
        "a parameter of OAuth 1.0a",
        "oauth1",
        "request_token_params",
        "protocol",
        request_token_params="oauth_token=a",
    ),
    wrong(
        "an unknown signature method",
        "oauth1",
        "signature_method",
        "one of HMAC",
        signature_method="ROT13",
    ),
    wrong("a realm with quotes", "oauth1", "realm", "without quotes", realm='the "realm"'),
    wrong(
        "RSA without a key",
        "oauth1",
        "rsa_key_file",
        "is required with",
        signature_method="RSA-SHA1",
    ),
    wrong(
        "an RSA key that is none",
        "oauth1",
        "rsa_key_file",
        "not an unencrypted",
        signature_method="RSA-SHA1",
        rsa_key_file=str(CHECKOUT / "README.md"),
    ),
    wrong(
        "a scope for OAuth 1.0a",
        "oauth1",
        "scope",
        "is for oauth2; protocol is oauth1",
        scope="tracks",
    ),
    wrong(
        "a realm for OAuth 2.1",
        "oauth2",
        "realm",
        "is for oauth1; protocol is oauth2",
        realm="photos",
    ),
]


def shouted(text):
    """Option names as they are called in the environment."""
    return re.sub(
        r"\b(client_secret|protocol(?= is))\b", lambda word: f"SCCONNECT_{word[0].upper()}", text
    )


@pytest.mark.parametrize(("protocol", "option", "words", "changes"), WRONG)
def test_a_mistake_is_one_sentence_that_names_the_option_and_shows_no_value(
    protocol, option, words, changes
):
    options = {**GOOD[protocol], **changes}
    with pytest.raises(ConfigurationError) as of_ini:
        filter_app_factory(page_of_the_site, {}, **options)
    with pytest.raises(ConfigurationError) as of_environ:
        from_env(page_of_the_site, in_environ(options))

    assert of_ini.value.option == option
    assert words in of_ini.value.problem
    assert of_environ.value.option == f"SCCONNECT_{option.upper()}"
    assert shouted(words) in of_environ.value.problem
    for error in (of_ini.value, of_environ.value):
        assert len(error.message.splitlines()) == 1
        shown = "".join(traceback.format_exception(error))
        assert [text for text in options.values() if len(text) > 12 and text in shown] == []


# The words of quotes and comments inside of a value

INSIDE = {
    "client_secret": """it's "a" secret # with all of 'them'""",
    "secret_key": f"""#{SECRET_KEY} "'{SECRET_KEY[::-1]}""",
    "headers": """'User-Agent=My Site # 1' X-Key="it's #5\"""",
    "scope": "tracks#playlists",
    "base_url": "https://app.example",
}


@both_ways
def test_quotes_and_comments_inside_of_a_secret_or_a_pair_belong_to_it(
    configure, monkeypatch, tmp_path
):
    app = configure({**GOOD["oauth2"], **INSIDE}, monkeypatch, tmp_path)
    assert app._flow.is_credential(INSIDE["client_secret"].encode())
    assert provider_of(app).headers == {"User-Agent": "My Site # 1", "X-Key": "it's #5"}


def test_quotes_around_the_secret_in_a_file_are_found_too(tmp_path):
    path = tmp_path / "secret"
    path.write_text('"a-secret-of-soundcloud"\n')
    options = {**GOOD["oauth2"], "client_secret": "", "client_secret_file": str(path)}
    with pytest.raises(ConfigurationError, match="is in quotes") as caught:
        from_env(page_of_the_site, in_environ(options))
    assert caught.value.option == "SCCONNECT_CLIENT_SECRET_FILE"


@pytest.mark.parametrize("path", ["key\0", "key\ud800"])
def test_a_path_that_no_file_can_have_is_told_apart_from_a_file_that_is_no_text(path):
    options = {**GOOD["oauth2"], "secret_key": "", "secret_key_file": path}
    with pytest.raises(ConfigurationError, match="that the name of a file cannot have"):
        from_env(page_of_the_site, in_environ(options))


@pytest.mark.parametrize("text", [" 60", "6_0", "60 ", "\u0666\u0660", "-", "."])
@pytest.mark.parametrize("option", ["cookie_max_age", "max_bytes", "timeout"])
def test_a_number_is_written_in_plain_digits(option, text):
    options = {**GOOD["oauth2"], option: text}
    with pytest.raises(ConfigurationError, match=f"{option.upper()} must be a (whole )?number"):
        from_env(page_of_the_site, in_environ(options))


# What else begins with SCCONNECT_

KUBERNETES = {
    "PORT": "tcp://10.0.0.7:80",
    "SERVICE_HOST": "10.0.0.7",
    "SERVICE_PORT": "80",
    "SERVICE_PORT_HTTP": "80",
    "PORT_80_TCP": "tcp://10.0.0.7:80",
    "PORT_80_TCP_PROTO": "tcp",
    "PORT_80_TCP_PORT": "80",
    "PORT_80_TCP_ADDR": "10.0.0.7",
    "PORT_53_UDP": "udp://10.0.0.7:53",
    # of services that are called scconnect-store, scconnect-base-url and scconnect-proxy
    "STORE_PORT": "tcp://10.0.0.8:6379",
    "STORE_SERVICE_HOST": "10.0.0.8",
    "STORE_PORT_6379_TCP_ADDR": "10.0.0.8",
    "BASE_URL_SERVICE_PORT_HTTPS": "443",
    "PROXY_PORT": "tcp://10.0.0.9:3128",
}


def test_the_variables_of_a_kubernetes_service_are_ignored_without_a_word(caplog):
    app = from_env(page_of_the_site, in_environ({**GOOD["oauth2"], **KUBERNETES}))
    assert provider_of(app) == SOUNDCLOUD
    assert caplog.records == []


NO_OPTIONS = ["COLOUR", "VERSION", "LOG_LEVEL", "IMAGE", "ENV", "REDIS_HOST", "DATABASE_HOST"]


@pytest.mark.parametrize("name", NO_OPTIONS)
def test_a_variable_that_is_near_to_no_option_is_ignored_with_a_warning(name, caplog):
    from_env(page_of_the_site, in_environ({**GOOD["oauth2"], name: "a-value-of-the-site"}))
    (record,) = caplog.records
    assert record.getMessage() == (
        f"SCCONNECT_{name} is not an option of scconnect-wsgi, and is ignored."
    )
    assert record.levelname == "WARNING"


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("CLIENT_SCERET", "CLIENT_SECRET"),
        ("CLIENTID", "CLIENT_ID"),
        ("BASE_URI", "BASE_URL"),
        ("SECRET_KEYS", "SECRET_KEY"),
        ("SECRET_KEY_FILES", "SECRET_KEY_FILE"),
        ("Identify", "IDENTIFY"),
        ("TIME_OUT", "TIMEOUT"),
        ("STORES", "STORE"),
        ("DATABASE_URL", "STORE"),
        ("Database_Url", "STORE"),
        ("REDIRECT_URI", "CALLBACK_URL"),
        ("CALLBACK", "CALLBACK_URL"),
        ("KEY", "SECRET_KEY"),
        ("SITE_URL", "BASE_URL"),
        ("AUTHORIZATION_URL", "AUTHORIZE_URL"),
    ],
)
def test_a_variable_that_is_near_to_an_option_is_a_mistake(name, meant):
    given = {**in_environ(GOOD["oauth2"]), f"SCCONNECT_{name}": "a-value-of-the-site"}
    with pytest.raises(ConfigurationError) as caught:
        from_env(page_of_the_site, given)
    assert caught.value.message == (
        f"SCCONNECT_{name} is an unknown option. Did you mean SCCONNECT_{meant}?"
    )


@pytest.mark.parametrize("name", ["colour", "api_base_url", "secret", "consumer_idea"])
def test_a_section_holds_no_option_that_nobody_knows(name):
    with pytest.raises(ConfigurationError) as caught:
        filter_app_factory(page_of_the_site, {}, **GOOD["oauth2"], **{name: "orange-and-a-shade"})
    assert caught.value.message == f"{name} is an unknown option."


def test_every_other_name_of_an_option_leads_to_one():
    assert set(_names._OTHER_NAMES.values()) <= set(OPTIONS)
    assert set(_names._OTHER_NAMES).isdisjoint(OPTIONS)


def test_everything_that_is_wrong_is_said_at_once():
    with pytest.raises(ConfigurationError) as caught:
        from_env(
            page_of_the_site,
            {"SCCONNECT_CLIENT_ID": "a", "SCCONNECT_TIMEOUT": "soon", "SCCONNECT_Scope": "a"},
        )
    named = [line.split()[0] for line in caught.value.message.splitlines()]
    missing = ["SCCONNECT_CLIENT_SECRET", "SCCONNECT_SECRET_KEY", "SCCONNECT_STORE_TOKEN"]
    assert named == ["SCCONNECT_TIMEOUT", "SCCONNECT_Scope", *missing]


def test_a_mistake_in_a_file_is_one_of_the_option_that_names_the_file(tmp_path):
    path = tmp_path / "key"
    path.write_text(SECRET_KEY)
    options = {**GOOD["oauth2"], "client_secret": SECRET_KEY, "secret_key_file": str(path)}
    del options["secret_key"]
    with pytest.raises(ConfigurationError) as caught:
        from_env(page_of_the_site, in_environ(options))
    assert caught.value.option == "SCCONNECT_SECRET_KEY_FILE"
    assert "must not be the client secret" in caught.value.problem


def test_the_help_of_from_env_does_not_show_the_environment(monkeypatch):
    monkeypatch.setenv("SCCONNECT_CLIENT_SECRET", "whisper")
    assert "whisper" not in str(inspect.signature(from_env))
    with pytest.raises(ConfigurationError) as caught:
        from_env(page_of_the_site)  # it is read all the same
    assert "SCCONNECT_CLIENT_SECRET" not in caught.value.message


def test_no_page_of_help_shows_the_environment():
    """What pydoc prints of every module: default arguments, and the values of names.

    It can print nothing of Django's models without a Django site.
    """
    script = (
        "import pkgutil, pydoc, scconnect_wsgi\n"
        "for module in pkgutil.walk_packages(scconnect_wsgi.__path__, 'scconnect_wsgi.'):\n"
        "    if 'main__' not in module.name and 'wsgi.django' not in module.name:\n"
        "        print(pydoc.render_doc(module.name, renderer=pydoc.plaintext))\n"
    )
    env = environment(SCCONNECT_CLIENT_SECRET="whisper-it", ANOTHER_ONE="whisper-it")
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script],
        env=env,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert "from_env(" in done.stdout
    assert "whisper-it" not in done.stdout


@pytest.mark.threat(32)
def test_32_the_repr_of_settings_shows_no_secret():
    settings, problems = parse(GOOD["oauth2"])
    assert problems == []
    assert settings.targets["client"]["secret"] == CLIENT[1]
    assert CLIENT[1] not in repr(settings)
    assert SECRET_KEY not in repr(settings)


# The manual


def ini_of_the_manual():
    """Return the first ini file of docs/configuration.md, with a site of the tests in it."""
    text = (CHECKOUT / "docs" / "configuration.md").read_text("utf-8")
    (first, *_) = re.findall(r"^```ini\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    pipeline = "" if "[pipeline:main]" in first else "[pipeline:main]\npipeline = connect site\n"
    assert "mysite:identify" in first
    site = "[app:site]\npaste.app_factory = support.configured:app_factory\n"
    return first.replace("mysite:identify", "support.configured:identify") + pipeline + site


def test_the_ini_file_of_the_manual_sends_the_user_to_soundcloud(tmp_path):
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "client_secret").write_text("given-by-soundcloud\n")
    (tmp_path / "secrets" / "secret_key").write_text(f"{SECRET_KEY}\n")
    (tmp_path / "site.ini").write_text(ini_of_the_manual(), "utf-8")
    with running(loadapp(f"config:{tmp_path / 'site.ini'}")) as (site, browser):
        departure = browser.click(site)
    assert departure.startswith(SOUNDCLOUD.authorize_url)
    assert query(departure)["client_id"] == "YOUR-CLIENT-ID"
    assert query(departure)["redirect_uri"] == "https://app.example/oauth/access_token"


def test_a_section_of_the_manual_lets_the_nearer_key_count(tmp_path):
    text = (CHECKOUT / "docs" / "configuration.md").read_text("utf-8")
    (chain,) = re.findall(
        r"^```ini\n(\[filter:connect\](?:(?!```).)*production.*?)^```$", text, re.S | re.M
    )
    key = tmp_path / "key"
    key.write_text(SECRET_KEY)
    chain = chain.replace("/run/secrets/secret_key", str(key))
    given = "client_id = a\nclient_secret = b\nstore_token = HAND_OVER\n"
    chain = chain.replace("[filter:production]", f"{given}\n[filter:production]")
    site = "[app:site]\npaste.app_factory = support.configured:app_factory\n"
    pipeline = "[pipeline:main]\npipeline = production site\n"
    (tmp_path / "site.ini").write_text(chain + pipeline + site, "utf-8")
    assert loadapp(f"config:{tmp_path / 'site.ini'}")  # and no error about two keys


def test_the_manual_lists_every_option():
    manual = (CHECKOUT / "docs" / "configuration.md").read_text("utf-8")
    section = manual.partition("## Every option")[2].partition("\n## ")[0]
    assert set(re.findall(r"`(\w+)`", section)) >= set(OPTIONS)
