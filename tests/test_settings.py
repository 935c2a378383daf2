"""A value that cannot work is refused where it is given, and the error names its option."""

from typing import Any

import pytest
from support.site import KEY, page_of_the_site
from support.stores import connection

from scconnect_wsgi import (
    ConnectError,
    OAuth1,
    OAuth1Provider,
    OAuth2,
    OAuth2Provider,
    SCConnect,
    Transport,
)
from scconnect_wsgi.connections import Connections
from scconnect_wsgi.encryption import Encryption
from scconnect_wsgi.errors import ConfigurationError
from scconnect_wsgi.stores.redis import RedisStore
from scconnect_wsgi.stores.sql import SQLStore

ADDRESS = "https://provider.example/path"
FLOW = OAuth2("id", "secret")
RSA = OAuth1Provider(*[ADDRESS] * 3, signature_method="RSA-SHA1")


def site(**options):
    given = {"secret_key": KEY, "store_token": lambda token, request: None, **options}
    return SCConnect(given.pop("app", page_of_the_site), given.pop("flow", FLOW), **given)


def connections(**options):
    given = {"flow": FLOW, "store": SQLStore("sqlite://"), **options}
    return Connections(given.pop("flow"), given.pop("store"), **given)


def oauth1_provider(**options):
    return OAuth1Provider(*[ADDRESS] * 3, **options)


def oauth2_provider(**options):
    return OAuth2Provider(ADDRESS, ADDRESS, **options)


def oauth1(consumer_key="a", consumer_secret="b", **options):
    return OAuth1(consumer_key, consumer_secret, **options)


def oauth2(client_id="a", client_secret="b", **options):
    return OAuth2(client_id, client_secret, **options)


def sql_store(url="sqlite://", **options):
    return SQLStore(url, **options)


def redis_store(server="redis://localhost", **options):
    return RedisStore(server, **options)


def encryption(keys=KEY, **options):
    return Encryption(keys, **options)


def serving(app):
    return connections(identify=lambda request: None).serving(app)


def login(**options):
    return connections().login(page_of_the_site, **{"secret_key": KEY, **options})


# Each option of each object, with values of a wrong type that somebody may give
MISTAKES: list[tuple[Any, str, list[Any]]] = [
    (oauth1, "consumer_key", [5, None, "", " ", b"a"]),
    (oauth1, "consumer_secret", [5, None, "", b"b"]),
    (oauth1, "provider", [5, OAuth2Provider(ADDRESS, ADDRESS)]),
    (oauth1, "transport", [5, Transport, "http://proxy.example", 0, ""]),
    (oauth1, "rsa_key", ["a key for another method", 5]),
    (oauth2, "client_id", [5, None, "", "\n", b"a"]),
    (oauth2, "client_secret", [5, None, "", b"b"]),
    (oauth2, "provider", [5, RSA]),
    (oauth2, "transport", [5, Transport, {"timeout": 5}, 0]),
    (oauth2, "scope", [5, ["a", "b"]]),
    (oauth1_provider, "signature_method", [5, "HMAC", None]),
    (oauth1_provider, "realm", [5, b"realm"]),
    (oauth1_provider, "headers", [5, ["a"], {"a": 5}]),
    (oauth2_provider, "token_type", [5, None, "two words"]),
    (oauth2_provider, "headers", [5, {"a": None}]),
    (oauth2_provider, "api_url", [5, "api.example"]),
    (Transport, "timeout", ["5", None, 0, True]),
    (Transport, "max_bytes", ["5", 1.5, None, True]),
    (Transport, "ca_bundle", [5, ["a"], b"\0", "a\0b", {}]),
    (Transport, "proxy", [5, b"http://proxy.example", {"https": "http://proxy.example"}]),
    (site, "app", [5, None]),
    (site, "flow", [5, None, OAuth2, OAuth2Provider(ADDRESS, ADDRESS)]),
    (site, "secret_key", [5, None, [], [None]]),
    (site, "store_token", [5, None, "HAND_OVER"]),
    (site, "base_url", [5, b"https://app.example", ["https://app.example"]]),
    (site, "request_token_path", [5, None]),
    (site, "assets_path", [5, b"/a"]),
    (site, "cookie_max_age", ["600", None, 1.5, True]),
    (site, "texts", [[], (), "", False, 0, ["de"]]),
    (site, "identify", [5, "joe"]),
    (site, "on_failure", [5, "text"]),
    (site, "encryption", ["text", KEY.encode(), 5, Encryption]),
    (encryption, "keys", [5, None, []]),
    (encryption, "accept_unencrypted", ["yes", 1, None]),
    (sql_store, "url", [5, None, b"sqlite://"]),
    (sql_store, "encryption", ["text", 5]),
    (redis_store, "server", [None, 5, b"redis://localhost"]),
    (redis_store, "prefix", [5, None, b"mine:", True]),
    (redis_store, "encryption", ["text", 5]),
    (connections, "flow", [5, None, page_of_the_site]),
    (connections, "store", [None, 5, "sqlite://", SQLStore]),
    (connections, "identify", [5, "joe"]),
    (connections, "on_lost", [5, "print"]),
    (serving, "app", [5, None]),
    (login, "max_age", ["600", None, 1.5, True, 0]),
    (login, "cookie_max_age", [True, 1.5]),
    (login, "texts", [[], ""]),
]


@pytest.mark.parametrize(
    ("make", "option", "value"),
    [
        pytest.param(make, option, value, id=f"{make.__name__}({option}={value!r:.25})")
        for make, option, values in MISTAKES
        for value in values
    ],
)
def test_a_value_of_a_wrong_type_is_a_configuration_error_that_names_its_option(
    make, option, value
):
    with pytest.raises(ConfigurationError) as caught:
        make(**{option: value})
    assert caught.value.option == option
    assert caught.value.message.startswith(f"{option} ")
    assert caught.value.message.endswith(".")


@pytest.mark.parametrize("make", [oauth1_provider, oauth2_provider])
@pytest.mark.parametrize(
    ("headers", "words"),
    [
        ({"Authorization": "Basic abc"}, "Authorization: it is made for each request, from the"),
        ({"authorization": ""}, "authorization: it is made for each request, from the"),
        ({"Host": "a.example"}, "Host: it is made for each request"),
        ({"Content-Length": "5"}, "Content-Length: it is made for each request"),
        ({"two words": "whisper"}, "'two words': that is no header's name"),
        ({"X:": "whisper"}, "'X:': that is no header's name"),
        ({"X-Key": "whisper\r\nX: y"}, "value for X-Key that is not printable ASCII in one line"),
        ({"X-Key": "wh\xefsper"}, "value for X-Key that is not printable ASCII in one line"),
    ],
)
def test_a_header_is_told_what_is_wrong_with_it(make, headers, words):
    with pytest.raises(ConfigurationError) as caught:
        make(headers=headers)
    assert words in caught.value.message
    assert [value for value in headers.values() if value and value in caught.value.message] == []


def test_what_is_right_is_accepted(tmp_path):
    site(base_url=lambda request: "https://app.example", encryption=Encryption(KEY[::-1]))
    connections(identify=lambda request: None, on_lost=print)
    oauth2(transport=Transport(timeout=5))
    sql_store(encryption=Encryption(KEY)).save(connection())
    assert issubclass(ConfigurationError, ConnectError)
