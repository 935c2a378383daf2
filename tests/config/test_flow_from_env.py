"""A site that wires the middleware in code, and takes its flow from the configuration."""

from typing import Any

import pytest
from support.canary import met
from support.flows import CLIENT, dance, flow_for
from support.site import page_of_the_site

from scconnect_wsgi import SOUNDCLOUD, SOUNDCLOUD_2009, OAuth1, OAuth2, Transport
from scconnect_wsgi.config import (
    flow_from_env,
    flow_from_settings,
    options_from_env,
    options_from_settings,
)
from scconnect_wsgi.connections import Connections
from scconnect_wsgi.errors import ConfigurationError
from scconnect_wsgi.sandbox import Sandbox, serve
from scconnect_wsgi.stores import MemoryStore

KEY = "CAMOR1ri-a_random_key_0123456789_of_43_chars"
CREDENTIALS = {
    "oauth2": {"client_id": CLIENT[0], "client_secret": CLIENT[1]},
    "oauth1": {"protocol": "oauth1", "consumer_key": CLIENT[0], "consumer_secret": CLIENT[1]},
}
both_protocols = pytest.mark.parametrize("protocol", CREDENTIALS)


def by_environment(options):
    return flow_from_env({f"SCCONNECT_{name.upper()}": text for name, text in options.items()})


def by_settings(options):
    others = {"pyramid.reload_templates": "true", "client_id": "of something else"}
    return flow_from_settings({**others, **{f"scconnect.{n}": t for n, t in options.items()}})


both_ways = pytest.mark.parametrize("configure", [by_environment, by_settings])


def addresses(flow):
    names = ("authorize_url", "token_url", "request_token_url", "access_token_url", "api_url")
    return {name: getattr(flow.provider, name) for name in names if hasattr(flow.provider, name)}


@both_ways
@both_protocols
def test_the_two_values_of_the_client_are_enough(configure, protocol):
    flow = configure(CREDENTIALS[protocol])
    expected = {"oauth2": (OAuth2, SOUNDCLOUD), "oauth1": (OAuth1, SOUNDCLOUD_2009)}[protocol]
    assert (type(flow), flow.provider) == expected
    assert flow.client_id == CLIENT[0]


@both_ways
@both_protocols
def test_it_obtains_a_token(configure, protocol):
    with serve(Sandbox()) as sandbox:
        given = addresses(flow_for(protocol, sandbox.url))
        assert dance(configure({**CREDENTIALS[protocol], **given})).token


@both_ways
def test_the_options_of_provider_and_transport_count(configure):
    flow = configure(
        {
            **CREDENTIALS["oauth2"],
            "scope": "tracks",
            "api_url": "https://api.example",
            "headers": "X-Key='a b'",
            "timeout": "2.5",
        }
    )
    assert "scope=tracks" in flow.begin("https://app.example/back").authorize_url
    assert flow.provider.api_url == "https://api.example"
    assert flow.provider.headers == {"X-Key": "a b"}
    assert flow.transport == Transport(timeout=2.5)


@both_ways
def test_what_the_middleware_is_given_in_code_is_not_looked_at(configure):
    unusable = {
        "secret_key": "short",
        "secret_key_file": "/nowhere",
        "secret_keyy": "misspelt",
        "store_token": "nowhere:nothing",
        "store": "without a scheme",
        "identify": "",
        "base_url": "http://app.example",
        "cookie_max_age": "soon",
        "encryption_key": CLIENT[1],
    }
    assert configure({**CREDENTIALS["oauth2"], **unusable}).client_id == CLIENT[0]


def wrong(configure, **changes):
    options = {**CREDENTIALS["oauth2"], **changes}
    with pytest.raises(ConfigurationError) as caught:
        configure({name: text for name, text in options.items() if text is not None})
    return caught.value


@both_ways
@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"client_secret": None}, ["is not set"]),
        ({"client_id": None, "client_secret": ""}, ["is not set", "is not set"]),
        ({"token_urll": "https://id.example"}, ["is an unknown option. Did you mean "]),
        ({"timeout": "soon"}, ["must be a number"]),
        ({"timeout": "-1"}, ["above 0"]),
        ({"authorize_url": "https://id.example/a"}, ["give all addresses"]),
        ({"protocol": "oauth3"}, ["must be oauth2 or oauth1"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, dict) else "",
)
def test_what_is_wrong_with_the_flow_is_said_at_once(configure, changes, words):
    lines = wrong(configure, **changes).message.splitlines()
    assert [word in line for line, word in zip(lines, words, strict=True)] == [True] * len(words)
    names = ("SCCONNECT_", "scconnect.")
    assert all(line.startswith(names) for line in lines)
    assert CLIENT[1] not in "".join(lines)


def test_a_setting_that_is_no_text_is_named():
    error = wrong(by_settings, timeout=5)
    assert error.message == "scconnect.timeout must be a text, as an ini file gives it, not int."


@pytest.mark.parametrize(
    ("option", "value", "kind"),
    [("client_id", 5, "int"), ("protocol", 2, "int"), ("protocol", ["oauth2"], "list")],
)
def test_a_needed_setting_that_is_no_text_is_reported_once(option, value, kind):
    error = wrong(by_settings, **{option: value})
    problem = f"must be a text, as an ini file gives it, not {kind}."
    assert error.message == f"scconnect.{option} {problem}"


def test_a_mapping_may_have_names_that_are_no_text():
    given: dict[Any, str] = {
        1: "a",
        None: "b",
        b"scconnect.client_id": "c",
        "scconnect.client_id": "d",
    }
    assert flow_from_settings({**given, "scconnect.client_secret": "e"}).client_id == "d"


def test_the_prefix_is_the_site_s_own_choice():
    given = {"soundcloud.client_id": "a", "soundcloud.client_secret": "b", "scconnect.x": "c"}
    assert flow_from_settings(given, "soundcloud.").client_id == "a"
    with pytest.raises(ConfigurationError, match="client_id is not set"):
        flow_from_settings({**given, "scconnect.x": ""})


def test_an_empty_setting_makes_way_for_the_file(tmp_path):
    (tmp_path / "secret").write_text("of-production\n")
    file = {"client_secret_file": str(tmp_path / "secret")}
    with pytest.raises(ConfigurationError, match="give only one of them"):
        by_settings({**CREDENTIALS["oauth2"], **file})
    flow = by_settings({**CREDENTIALS["oauth2"], "client_secret": "", **file})
    assert flow.is_credential(b"of-production")


# The options of the middleware


def options_by_environment(options):
    return options_from_env({f"SCCONNECT_{name.upper()}": text for name, text in options.items()})


def options_by_settings(options):
    others = {"secret_key": "of something else"}
    return options_from_settings({**others, **{f"scconnect.{n}": t for n, t in options.items()}})


both_options = pytest.mark.parametrize("read", [options_by_environment, options_by_settings])


@both_options
def test_a_site_in_code_takes_the_options_of_the_middleware(read, tmp_path):
    met(KEY)
    (tmp_path / "key").write_text(f"{KEY}\n")
    options = read(
        {
            "secret_key_file": str(tmp_path / "key"),
            "base_url": "https://app.example/",
            "cookie_max_age": "60",
            "relay_to": "https://staging.example http://localhost:8000",
            "relay_key": KEY[::-1],
        }
    )
    assert options == {
        "secret_key": [KEY],
        "base_url": "https://app.example",
        "cookie_max_age": 60,
        "relay_to": ["https://staging.example", "http://localhost:8000"],
        "relay_key": [KEY[::-1]],
    }
    connections = Connections(OAuth2(*CLIENT), MemoryStore(), identify=lambda request: "joe")
    connections.wrap(page_of_the_site, **options)


@both_options
def test_what_is_in_the_code_is_not_looked_at(read):
    met(KEY)
    others = {
        "client_secret": "'in quotes'",
        "store": "without a scheme",
        "store_token": "nowhere:nothing",
        "identify": "nowhere:nothing",
        "on_failure": "nowhere:nothing",
        "timeout": "soon",
    }
    assert read({**others, "secret_key": KEY}) == {"secret_key": [KEY]}


@both_options
def test_an_encryption_key_makes_an_encryption(read):
    met(KEY)
    assert list(read({"secret_key": KEY, "encryption_key": KEY[::-1]})) == [
        "secret_key",
        "encryption",
    ]


@both_options
@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "is not set: `scconnect secret` makes one."),
        ({"secret_key": "short"}, "must have at least 32 characters"),
        ({"secret_key": KEY, "base_ulr": "https://app.example"}, "Did you mean"),
        ({"secret_key": KEY, "base_url": "http://app.example"}, "must begin with https://"),
    ],
)
def test_what_is_wrong_with_the_options_is_said_at_once(read, options, words):
    met(KEY)
    with pytest.raises(ConfigurationError, match=words) as caught:
        read(options)
    assert caught.value.option.startswith(("SCCONNECT_", "scconnect."))
    assert len(caught.value.message.splitlines()) == 1


@both_options
def test_a_passphrase_is_one_key(read):
    words = "a passphrase of several short words"
    met(words)
    met(KEY)
    assert read({"secret_key": f"{words}\n"})["secret_key"] == [words]
    assert read({"secret_key": f"{words}\n  {words[::-1]}"})["secret_key"] == [words, words[::-1]]
    assert read({"secret_key": f"{KEY} {KEY[::-1]}"})["secret_key"] == [KEY, KEY[::-1]]
    with pytest.raises(ConfigurationError, match="at least 32 characters"):
        read({"secret_key": f"{KEY} a shorter one"})
