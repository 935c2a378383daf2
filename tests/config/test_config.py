"""The middleware without code:

from the environment, and from an ini file through PasteDeploy itself.
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
from scconnect_wsgi.config import filter_app_factory, from_env
from scconnect_wsgi.config._options import OPTIONS
from scconnect_wsgi.config._settings import parse
from scconnect_wsgi.errors import ConfigurationError
from scconnect_wsgi.sandbox import Sandbox, serve

EXAMPLES = CHECKOUT / "examples" / "paste"
SECRET_KEY = "CAMOR1ri-a_random_key_0123456789_of_43_chars"
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
        "on_failure": "support.configured:on_failure",
    }
    with running(configure(options, monkeypatch, tmp_path)) as (site, browser):
        departure = browser.get(f"{site.url}/start").headers["Location"]
        home = browser.get(f"{site.url}/back?state=unknown&code=made-up", **ARRIVAL).headers[
            "Location"
        ]
        assert browser.get(f"{site.url}/button/sc-connect.js").ok
    assert query(departure)["redirect_uri"] == "http://localhost/shop/back"
    assert home == "/shop/button/close.html?failed=flow_mismatch"


@both_ways
def test_the_wrapped_application_can_take_over(configure, monkeypatch, tmp_path):
    options = {**GOOD["oauth2"], "store_token": "HAND_OVER", "on_failure": "HAND_OVER"}
    app = configure(options, monkeypatch, tmp_path)
    assert app._store_token is HAND_OVER
    with running(app) as (site, browser):
        assert browser.get(f"{site.callback}?state=unknown", **ARRIVAL).text.startswith(
            "the site's own page"
        )


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
    "keys", [SECRET_KEY, f"{SECRET_KEY} {SECRET_KEY[::-1]}"], ids=["one key", "two keys"]
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
        "an option nobody knows",
        "oauth2",
        "colour",
        "is an unknown option.",
        colour="orange-and-a-shade",
    ),
    wrong(
        "a mistyped option",
        "oauth2",
        "client_sceret",
        "Did you mean client_secret?",
        client_sceret="typed-by-hand",
    ),
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
    wrong("a key to guess", "oauth2", "secret_key", "8 different characters", secret_key="ab" * 20),
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
    wrong("identify handed over", "oauth2", "identify", "dotted name", identify="HAND_OVER"),
    wrong(
        "on_failure in no module", "oauth2", "on_failure", "imported", on_failure="nowhere:failed"
    ),
    wrong(
        "a base_url without https", "oauth2", "base_url", "https://", base_url="http://app.example"
    ),
    wrong("a relative path", "oauth2", "assets_path", "a path such as", assets_path="sc-connect"),
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
        "cannot be sent",
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
        rsa_key_file=str(EXAMPLES / "mysite.py"),
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


@pytest.mark.threat(32)
def test_32_the_repr_of_settings_shows_no_secret():
    settings, problems = parse(GOOD["oauth2"])
    assert problems == []
    assert settings.targets["client"]["secret"] == CLIENT[1]
    assert CLIENT[1] not in repr(settings)
    assert SECRET_KEY not in repr(settings)


# The examples and the README


def example(name, tmp_path, monkeypatch, changes):
    """An example as a user keeps it: copied, with changes of their own."""
    text = (EXAMPLES / name).read_text("utf-8")
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new)
    (tmp_path / name).write_text(text, "utf-8")
    monkeypatch.syspath_prepend(str(EXAMPLES))
    return loadapp(f"config:{tmp_path / name}")


def test_the_development_example_connects_to_the_sandbox(tmp_path, monkeypatch):
    with serve(Sandbox()) as sandbox:
        app = example(
            "development.ini", tmp_path, monkeypatch, {"http://127.0.0.1:8001": sandbox.url}
        )
        with running(app) as (site, browser):
            assert 'id="sc-connect"' in browser.get(f"{site.url}/").text
            assert landed(browser.connect(site)) == {"oauth_token_id": "1"}


def test_the_production_example_sends_the_user_to_soundcloud(tmp_path, monkeypatch):
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "client_secret").write_text("given-by-soundcloud\n")
    (tmp_path / "secrets" / "secret_key").write_text(f"{SECRET_KEY}\n")
    changes = {"YOUR-CLIENT-ID": "mine", "https://app.example": "https://mysite.example"}
    with running(example("production.ini", tmp_path, monkeypatch, changes)) as (site, browser):
        departure = browser.click(site)
    assert departure.startswith(SOUNDCLOUD.authorize_url)
    assert query(departure)["client_id"] == "mine"
    assert query(departure)["redirect_uri"] == "https://mysite.example/oauth/access_token"


def test_the_readme_lists_every_option():
    readme = (CHECKOUT / "README.md").read_text("utf-8")
    section = readme.partition("## Configuration without code")[2].partition("\n## ")[0]
    assert set(re.findall(r"`(\w+)`", section)) >= set(OPTIONS)
