"""SCCONNECT_SANDBOX, which `scconnect sandbox -- COMMAND` sets for a site."""

from typing import Any

import pytest
from support.flows import CLIENT
from support.site import page_of_the_site

from scconnect_wsgi.config import (
    connections_from_env,
    filter_app_factory,
    flow_from_env,
    flow_from_settings,
    from_env,
)
from scconnect_wsgi.config._options import OPTIONS
from scconnect_wsgi.errors import ConfigurationError
from scconnect_wsgi.sandbox import Sandbox

ROOT = "http://127.0.0.1:8001"
# A site as it is for its provider: the files with its secrets are not on this machine
SITE = {
    "secret_key": "CAMOR1ri-a_random_key_0123456789_of_43_chars",
    "store": "sqlite://",
    "identify": "support.configured:identify",
}
OAUTH2 = {
    "client_id": "of-the-provider",
    "client_secret_file": "/run/secrets/client",
    "authorize_url": "https://id.example/authorize",
    "token_url": "https://id.example/token",
    "issuer": "https://id.example",
    "token_type": "Bearer",
    "token_endpoint_auth": "client_secret_basic",
    "headers": "X-Key=abc",
    "ca_bundle": "/nowhere.pem",
    "proxy": "http://proxy.example:3128",
    "scope": "tracks",
}
OAUTH1 = {
    "protocol": "oauth1",
    "consumer_key": "of-the-provider",
    "signature_method": "RSA-SHA1",
    "rsa_key_file": "/run/secrets/rsa",
    "realm": "photos",
}
PROVIDERS = {
    "oauth2": (OAUTH2, Sandbox().oauth2_provider(ROOT)),
    "oauth1": (OAUTH1, Sandbox().oauth1_provider(ROOT)),
}


def variables(given):
    return {f"SCCONNECT_{name.upper()}": text for name, text in given.items()}


def by_from_env(given):
    application: Any = from_env(page_of_the_site, variables({**SITE, **given}))
    return application.sc_connect._flow


def by_worker(given):
    return connections_from_env(variables({**SITE, **given}))._flow


def by_flow_from_env(given):
    return flow_from_env(variables({**SITE, **given}))


def by_filter(given):
    application: Any = filter_app_factory(page_of_the_site, {}, **SITE, **given)
    return application.sc_connect._flow


def by_settings(given):
    return flow_from_settings({f"scconnect.{name}": text for name, text in given.items()})


BY_ENVIRONMENT = [by_from_env, by_worker, by_flow_from_env]
BY_INI = [by_filter, by_settings]


@pytest.mark.parametrize("protocol", PROVIDERS)
@pytest.mark.parametrize("configure", BY_ENVIRONMENT + BY_INI)
def test_the_sandbox_takes_the_provider_s_place_in_every_configuration(
    configure, protocol, monkeypatch
):
    given, provider = PROVIDERS[protocol]
    if configure in BY_INI:
        monkeypatch.setenv("SCCONNECT_SANDBOX", ROOT)
        flow = configure(given)
    else:
        flow = configure({**given, "sandbox": ROOT})
    assert flow.provider == provider
    assert flow.client_id == CLIENT[0]
    assert flow.is_credential(CLIENT[1].encode())
    if protocol == "oauth2":
        assert "scope=tracks" in flow.begin("http://localhost/back").authorize_url


def test_a_slash_at_its_end_changes_nothing():
    assert by_flow_from_env({"sandbox": f"{ROOT}/"}).provider == PROVIDERS["oauth2"][1]


@pytest.mark.parametrize(
    "address",
    [
        "https://sandbox.example",
        "http://192.0.2.1:8001",
        "127.0.0.1:8001",
        "on",
        "http://u:p@[::1]",
    ],
)
@pytest.mark.parametrize("configure", BY_ENVIRONMENT + BY_INI)
def test_an_address_on_another_machine_is_refused(configure, address, monkeypatch):
    given = dict(OAUTH2)
    if configure in BY_INI:
        monkeypatch.setenv("SCCONNECT_SANDBOX", address)
    else:
        given["sandbox"] = address
    with pytest.raises(ConfigurationError, match="a sandbox on this machine") as caught:
        configure(given)
    assert caught.value.option == "SCCONNECT_SANDBOX"


def test_without_it_or_with_an_empty_one_nothing_changes(monkeypatch):
    monkeypatch.setenv("SCCONNECT_SANDBOX", "")
    assert by_settings({"client_id": "a", "client_secret": "b"}).client_id == "a"
    assert by_flow_from_env({"client_id": "a", "client_secret": "b"}).client_id == "a"


def test_it_is_no_option_of_a_section():
    assert "sandbox" not in OPTIONS
    with pytest.raises(ConfigurationError, match="sandbox is an unknown option"):
        filter_app_factory(page_of_the_site, {}, **SITE, **OAUTH2, sandbox=ROOT)
