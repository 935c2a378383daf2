"""The callables of a site: what is refused when they are given, and what is said of a failure."""

import functools
import uuid
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest
import webob
from support.flows import flow_for
from support.site import KEY, page_of_the_site

from scconnect_wsgi import SCConnect
from scconnect_wsgi.callables import check_callable, check_identify, hint
from scconnect_wsgi.connections import Connections
from scconnect_wsgi.errors import ConfigurationError
from scconnect_wsgi.stores import MemoryStore

NOWHERE = "http://localhost:1"  # a provider that is never asked
NOBODY: Any = None  # what flask_login's current_user stands for outside of a request
RECIPE = "with app.request_context(request.environ)"


class LocalProxy:
    """As werkzeug's: callable, and nothing of it can be looked at outside of a request."""

    __module__ = "werkzeug.local"

    def __getattr__(self, name):
        raise RuntimeError("Working outside of request context.")

    def __eq__(self, other):
        raise RuntimeError("Working outside of request context.")

    __hash__ = None

    def __call__(self, *args):
        raise RuntimeError("Working outside of request context.")


class Site:
    def identify(self, request):
        return "joe"

    @staticmethod
    def without_object(request):
        return "joe"

    def store_token(self, token, request):
        return {}


class Awaited:
    async def __call__(self, request):
        return "joe"


class Called:
    def __call__(self, request):
        return "joe"


async def coroutine(request):
    return "joe"


async def generator(request):
    yield "joe"


def with_a_database(call):
    @functools.wraps(call)
    def wrapper(request):
        return call({}, request)

    return wrapper


@with_a_database
def decorated(database, request):
    return "joe"


def two(database, request):
    return "joe"


MISTAKES = {
    "a proxy of Flask": (LocalProxy(), RECIPE),
    "a class": (Site, "not the class Site"),
    "a name": ("joe", "must be a callable, not str"),
    "a method without its object": (Site.identify, "not that of its class"),
    "no arguments": (lambda: "joe", "called as identify(request), and this callable takes ()"),
    "two arguments": (two, "takes (database, request)"),
    "a keyword that is required": (lambda request, *, db: "joe", "takes (request, *, db)"),
    "a keyword in place of the argument": (
        lambda *, request: "joe",
        "takes (*, request). It is called without names",
    ),
    "a coroutine function": (coroutine, "async def"),
    "a partial of one": (functools.partial(coroutine), "async def"),
    "an asynchronous generator": (generator, "async def"),
    "an object that must be awaited": (Awaited(), "async def"),
}
GOOD = [
    lambda request: "joe",
    lambda *args: "joe",
    lambda request, database="a default": "joe",
    decorated,
    functools.partial(two, {}),
    Site().identify,
    Site.without_object,
    Called(),
    Mock(return_value="joe"),
    str.strip,  # a built-in function
]
each_mistake = pytest.mark.parametrize(("given", "words"), MISTAKES.values(), ids=MISTAKES)


@each_mistake
def test_an_identify_that_cannot_work_is_refused_when_it_is_given(given, words):
    flow = flow_for("oauth2", NOWHERE)
    makers = (
        lambda: Connections(flow, MemoryStore(), identify=given),
        lambda: SCConnect(
            page_of_the_site, flow, secret_key=KEY, store_token=Site().store_token, identify=given
        ),
        lambda: SCConnect(
            page_of_the_site,
            flow,
            secret_key=KEY,
            store_token=Connections(flow, MemoryStore(), identify=Site().identify).store_token,
            identify=given,
        ),
    )
    for make in makers:
        with pytest.raises(ConfigurationError) as raised:
            make()
        assert raised.value.option == "identify"
        assert words in raised.value.message


@pytest.mark.parametrize("given", GOOD, ids=range(len(GOOD)))
def test_what_can_be_called_is_taken(given):
    check_identify(given)


def test_an_option_that_is_left_out_is_none():
    check_callable("identify", None, ["request"])


@pytest.mark.parametrize(
    ("option", "form"),
    [
        ("store_token", "store_token(token, request)"),
        ("on_failure", "on_failure(error, request)"),
        ("base_url", "base_url(request)"),
    ],
)
def test_every_callable_of_the_middleware_is_checked(option, form):
    options: dict[str, Any] = {
        "secret_key": KEY,
        "store_token": Site().store_token,
        option: lambda: None,
    }
    with pytest.raises(ConfigurationError) as raised:
        SCConnect(page_of_the_site, flow_for("oauth2", NOWHERE), **options)
    assert raised.value.message.startswith(f"{option} is called as {form}")
    options[option] = LocalProxy()
    with pytest.raises(ConfigurationError, match=r"app\.request_context"):
        SCConnect(page_of_the_site, flow_for("oauth2", NOWHERE), **options)


@pytest.mark.parametrize(
    ("option", "form"),
    [("on_lost", "on_lost(connection, error)"), ("account", "account(fields)")],
)
def test_every_callable_of_the_connections_is_checked(option, form):
    options: dict[str, Any] = {option: lambda: None}
    with pytest.raises(ConfigurationError) as raised:
        Connections(flow_for("oauth2", NOWHERE), MemoryStore(), **options)
    assert raised.value.message.startswith(f"{option} is called as {form}")


def test_default_values_are_not_shown():
    with pytest.raises(ConfigurationError) as raised:
        check_callable("identify", lambda one, two, key="a secret": None, ["request"])
    assert "a secret" not in raised.value.message


def test_a_callable_that_cannot_be_inspected_is_taken():
    class Odd:
        def __call__(self, request):
            return "joe"

        @property
        def __signature__(self):
            raise LookupError("nothing is known of it")

    check_identify(Odd())


def raised_by(call):
    with pytest.raises(Exception) as raised:  # noqa: PT011  # of any kind
        call()
    return raised.value


def outside(text):
    raise RuntimeError(text)


@pytest.mark.parametrize(
    "call",
    [
        lambda: outside("Working outside of request context.\n\nThis typically means"),
        lambda: outside("Working outside of application context."),
        lambda: outside("Request context not initialized."),
        lambda: NOBODY.get_id(),
    ],
    ids=["Flask's request", "Flask's application", "Bottle's request", "a user who is None"],
)
def test_the_likely_cause_is_a_missing_context(call):
    assert RECIPE in hint(raised_by(call))


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("the pool is closed"),
        AttributeError("raised by hand"),
        raised_by(lambda: SimpleNamespace().user),
        KeyError("context"),
    ],
    ids=repr,
)
def test_nothing_is_guessed_of_other_errors(error):
    assert hint(error) == ""


def sites(option, given):
    """Return a site with a callable that fails, and the connections behind it."""
    flow = flow_for("oauth2", NOWHERE)
    options: dict[str, Any] = {
        "identify": Site().identify,
        "store_token": Site().store_token,
        option: given,
    }
    return SCConnect(page_of_the_site, flow, secret_key=KEY, base_url=NOWHERE, **options)


def click(application):
    request = webob.Request.blank("/oauth/request_token", base_url=NOWHERE)
    request.headers.update({"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "navigate"})
    return request.get_response(application)


class OutsideOfAContext:
    def __call__(self, request):
        raise RuntimeError("Working outside of request context.")


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (OutsideOfAContext(), RECIPE),
        (lambda request: NOBODY.get_id(), RECIPE),
        (lambda request: 7, "a string, not int: str(user.id)"),
        (lambda request: uuid.UUID(int=7), "a string, not UUID: str(user.id)"),
        (lambda request: SimpleNamespace(id=7), "a string, not SimpleNamespace: str(user.id)"),
        (lambda request: coroutine(request), "a string, not coroutine: str(user.id)"),
        (lambda request: Site().identify, "a string, not method: str(user.id)"),
    ],
    ids=["no context", "no user", "int", "UUID", "object", "coroutine", "method"],
)
def test_the_first_click_says_what_is_wrong_with_identify(given, words, caplog):
    fields = webob.Request.blank(click(sites("identify", given)).location).GET
    assert fields["error"] == "start_refused"
    assert words in fields["error_description"]
    assert words in caplog.text


def test_the_pages_script_is_told_as_well(caplog):
    connections = Connections(
        flow_for("oauth2", NOWHERE), MemoryStore(), identify=OutsideOfAContext()
    )
    request = webob.Request.blank("/sc-connect/connections.json", base_url=NOWHERE)
    request.headers["Sec-Fetch-Site"] = "same-origin"
    answer = request.get_response(connections.serving(page_of_the_site))
    assert answer.status_code == 500
    assert RECIPE in answer.json["error"]
    assert RECIPE in caplog.text


def test_a_storage_outside_of_a_context_is_explained(soundcloud, caplog):
    def store_token(token, request):
        raise RuntimeError("Working outside of application context.")

    application = SCConnect(
        page_of_the_site, soundcloud.oauth2(), secret_key=KEY, store_token=store_token
    )
    fields = soundcloud.connect(application).fields
    assert fields["error"] == "storage_failed"
    assert RECIPE in fields["error_description"]
    assert caplog.text.count(f"error_id {fields['error_id']}") >= 2


def test_a_failure_handler_outside_of_a_context_is_explained(soundcloud, caplog):
    def on_failure(error, request):
        raise RuntimeError("Working outside of request context.")

    application = SCConnect(
        page_of_the_site,
        soundcloud.oauth2(),
        secret_key=KEY,
        store_token=Site().store_token,
        on_failure=on_failure,
    )
    assert soundcloud.refuse(application).fields["error"] == "access_denied"
    assert RECIPE in caplog.text
