"""A site's tests that patch HTTP: an answer, or an error that says why and what to use instead."""

import importlib
import json
import warnings
from contextlib import contextmanager

import pytest
import requests
from webob import Request

from scconnect_wsgi import OAuth2, OAuth2Provider, SCConnect, Transport
from scconnect_wsgi.connections import Connections
from scconnect_wsgi.errors import ConnectError, ProviderError
from scconnect_wsgi.stores import Connection
from scconnect_wsgi.stores.sql import SQLStore
from scconnect_wsgi.testing import SoundCloud
from scconnect_wsgi.token import AccessToken

API = "https://api.provider.example"
ANSWERS = {
    ("POST", "/token"): {"access_token": "a token", "token_type": "OAuth"},
    ("GET", "/me"): {"urn": "soundcloud:users:1", "username": "joe"},
    ("GET", "/me/tracks"): {"collection": [1]},
}


def imported(name):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # httpretty imports eventlet if it is there
        return importlib.import_module(name)


@contextmanager
def responses():
    with imported("responses").RequestsMock(assert_all_requests_are_fired=False) as mock:
        for (method, path), body in ANSWERS.items():
            mock.add(method, API + path, json=body)
        yield


@contextmanager
def requests_mock():
    with imported("requests_mock").Mocker() as mock:
        for (method, path), body in ANSWERS.items():
            mock.request(method, API + path, json=body)
        yield


@contextmanager
def httpretty():
    library = imported("httpretty")
    with library.enabled(allow_net_connect=False):
        for (method, path), body in ANSWERS.items():
            library.register_uri(method, API + path, body=json.dumps(body))
        yield


# pook and VCR.py need compiled libraries, which the newest Python lacks: they were tried by hand.
ALL = [responses, requests_mock, httpretty]
ANSWER_CALLS = [responses, requests_mock]
LET_PASS = [responses, requests_mock]
every = pytest.mark.parametrize("mocking", ALL, ids=lambda mocking: mocking.__name__)


def flow_of_a_site():
    provider = OAuth2Provider(f"{API}/authorize", f"{API}/token", api_url=API)
    return OAuth2("id", "secret", provider=provider, transport=Transport(timeout=2))


@pytest.fixture
def connections():
    store = SQLStore("sqlite://")
    store.save(Connection("one", "joe", API, AccessToken("a token")))
    yield Connections(flow_of_a_site(), store)
    store.close()


def says_why(error, mocking):
    return mocking.__name__ in str(error) and "pytest fixture soundcloud" in str(error)


# Without a library


def test_nothing_is_said_of_libraries_that_are_not_in_use():
    imported("responses")
    provider = OAuth2Provider("https://nobody.invalid/a", "https://nobody.invalid/token")
    flow = OAuth2("id", "secret", provider=provider, transport=Transport(timeout=5))
    with pytest.raises(ConnectError) as caught:
        flow.refresh(AccessToken("old", refresh_token="r"))
    assert "fixture" not in caught.value.message


# A token request


@every
def test_a_token_request_says_why_it_was_not_sent(mocking):
    flow = flow_of_a_site()
    with mocking(), pytest.raises(ProviderError) as caught:
        flow.refresh(AccessToken("old", refresh_token="r"))
    assert says_why(caught.value, mocking)
    assert not caught.value.outcome_unknown


@every
def test_connecting_says_so_too(mocking, connections):
    with mocking(), pytest.raises(ProviderError) as caught:
        connections.connect(AccessToken("new"), user="joe")
    assert says_why(caught.value, mocking)


@every
def test_a_flow_ends_with_an_error_and_not_with_a_500(mocking, caplog):
    site = SCConnect(
        lambda environ, start_response: None,
        flow_of_a_site(),
        secret_key="a-key-of-43-letters-which-is-for-tests-only",
        store_token=lambda token, request: {},
        base_url="http://localhost",
    )
    click = {"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "navigate"}
    with mocking():
        start = Request.blank("/oauth/request_token", headers=click).get_response(site)
        cookies = "; ".join(value.partition(";")[0] for value in start.headers.getall("Set-Cookie"))
        state = start.location.partition("state=")[2].partition("&")[0]
        back = Request.blank(f"/oauth/access_token?code=c&state={state}")
        back.headers["Cookie"] = cookies
        end = back.get_response(site)
    assert end.status_code == 303
    assert "error=provider_error" in end.location
    assert says_why(caplog.text, mocking)


# An API call


@pytest.mark.parametrize("mocking", ANSWER_CALLS, ids=lambda mocking: mocking.__name__)
def test_an_api_call_is_answered(mocking, connections):
    with mocking(), connections.session("one", user="joe") as session:
        assert session.get("/me").json()["username"] == "joe"
        assert session.me().username == "joe"
        assert list(session.collection("/me/tracks")) == [1]


@pytest.mark.parametrize("mocking", [httpretty], ids=lambda mocking: mocking.__name__)
def test_or_says_why_not(mocking, connections):
    with mocking(), connections.session("one", user="joe") as session:
        with pytest.raises(requests.ConnectionError) as caught:
            session.get("/me")
        assert says_why(caught.value, mocking)
        for call in (session.me, lambda: next(session.collection("/me/tracks"))):
            with pytest.raises(ProviderError) as failed:
                call()
            assert says_why(failed.value, mocking)


def test_a_call_that_nobody_registered_names_the_library(connections):
    with responses(), connections.session("one", user="joe") as session:
        with pytest.raises(ConnectError) as caught:
            next(session.collection("/me/likes"))
        assert says_why(caught.value, responses)
        assert "perhaps has no answer" in str(caught.value)
        assert "valid HTTP" not in str(caught.value)  # nothing was sent


# The fixture beside a library


@pytest.mark.parametrize("mocking", LET_PASS, ids=lambda mocking: mocking.__name__)
def test_the_fixture_connects_while_a_library_answers_for_others(mocking):
    with SoundCloud() as soundcloud:
        site = SCConnect(
            lambda environ, start_response: None,
            soundcloud.oauth2(),
            secret_key="a-key-of-43-letters-which-is-for-tests-only",
            store_token=lambda token, request: {"token": "stored"},
            base_url="https://app.example",
        )
        with mocking():
            assert soundcloud.connect(site).fields == {"token": "stored"}
