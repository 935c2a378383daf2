"""A public site with the sandbox as provider: `scconnect check` and the log of the start say so."""

import logging

import pytest
from support.commands import run
from support.flows import flow_for
from support.site import KEY, page_of_the_site

from scconnect_wsgi import OAuth2, SCConnect
from scconnect_wsgi.config import from_env
from scconnect_wsgi.documentation import entry
from scconnect_wsgi.errors import ConfigurationError
from scconnect_wsgi.middleware import HAND_OVER
from scconnect_wsgi.urls import sandbox_problem

PUBLIC = ["https://app.example", "https://app.example/shop", "https://192.0.2.7:8443"]
OWN = ["http://localhost:8000", "https://localhost", "https://127.0.0.1:8000/shop", "https://[::1]"]
SANDBOXES = ["http://127.0.0.1:8001", "http://localhost:8001", "http://[::1]:8001"]


def settings(base_url, root, protocol="oauth2"):
    given = {
        "PROTOCOL": protocol,
        "CLIENT_ID": "sandbox-client",
        "CLIENT_SECRET": "sandbox-secret",
        "SECRET_KEY": "CAMOR1ri-a_random_key_0123456789_of_43_chars",
        "STORE_TOKEN": "HAND_OVER",
        "BASE_URL": base_url,
        "AUTHORIZE_URL": f"{root}/authorize",
    }
    addresses = {"oauth2": ["TOKEN_URL"], "oauth1": ["REQUEST_TOKEN_URL", "ACCESS_TOKEN_URL"]}
    given.update(dict.fromkeys(addresses[protocol], f"{root}/token"))
    return {f"SCCONNECT_{name}": value for name, value in given.items()}


def check(given):
    return run("check", PYTHONWARNINGS="ignore", **given)  # WebOb's, about the cgi module


@pytest.mark.slow
@pytest.mark.parametrize("protocol", ["oauth1", "oauth2"])
def test_check_says_that_a_public_site_cannot_use_the_sandbox(protocol):
    done = check(settings("https://app.example/shop", "http://127.0.0.1:8001", protocol))
    assert done.returncode == 1
    assert done.stdout == (
        "SCCONNECT_BASE_URL is public (https://app.example), but its provider is on a loopback "
        "host (http://127.0.0.1:8001), as the sandbox is: the browsers of the site's users would "
        "ask their own machines, and whoever runs a sandbox there could log in as anybody.\n"
        f"See {entry(ConfigurationError.code)}\n"
    )
    assert done.stderr == ""


@pytest.mark.slow
def test_check_says_it_beside_what_else_is_wrong():
    done = check({**settings("https://app.example", SANDBOXES[0]), "SCCONNECT_SECRET_KEY": "short"})
    words = [line.split()[0] for line in done.stdout.splitlines()]
    assert words == ["SCCONNECT_SECRET_KEY", "SCCONNECT_BASE_URL", "See"]


@pytest.mark.slow
def test_check_says_nothing_to_a_site_on_this_machine():
    assert check(settings("https://localhost:8000", SANDBOXES[0])).returncode == 0


def warnings_of(caplog):
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


@pytest.mark.parametrize("root", SANDBOXES)
@pytest.mark.parametrize("base_url", PUBLIC)
@pytest.mark.parametrize("protocol", ["oauth1", "oauth2"])
def test_a_public_site_with_the_sandbox_is_warned_at_the_start(protocol, base_url, root, caplog):
    flow = flow_for(protocol, root)
    SCConnect(page_of_the_site, flow, secret_key=KEY, store_token=HAND_OVER, base_url=base_url)
    (warning,) = warnings_of(caplog)
    assert warning.startswith("base_url is public (")
    assert root in warning
    caplog.clear()
    from_env(page_of_the_site, settings(base_url, root, protocol))
    assert len(warnings_of(caplog)) == 1


@pytest.mark.parametrize("base_url", [*OWN, None])
def test_a_site_on_this_machine_is_not_warned(base_url, caplog):
    flow = flow_for("oauth2", SANDBOXES[0])
    SCConnect(page_of_the_site, flow, secret_key=KEY, store_token=HAND_OVER, base_url=base_url)
    assert warnings_of(caplog) == []


def test_a_public_site_with_a_real_provider_is_not_warned(caplog):
    for flow in (OAuth2("id", "secret"), flow_for("oauth1", "https://provider.example")):
        SCConnect(page_of_the_site, flow, secret_key=KEY, store_token=HAND_OVER, base_url=PUBLIC[0])
    assert warnings_of(caplog) == []


def test_a_flow_without_addresses_has_no_problem():
    assert sandbox_problem(PUBLIC[0], "") == ""
    assert sandbox_problem("", SANDBOXES[0]) == ""
