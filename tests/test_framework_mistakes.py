"""Mistakes with the objects of Django and Pyramid: each error names the recipe."""

import pytest
import webob
from django.http import HttpResponse
from django.utils.functional import SimpleLazyObject, lazystr
from django.views import View
from support.flows import flow_for
from support.site import KEY, page_of_the_site

from scconnect_wsgi import SCConnect
from scconnect_wsgi.callables import check_identify
from scconnect_wsgi.connections import Connections
from scconnect_wsgi.errors import ConfigurationError
from scconnect_wsgi.stores import MemoryStore

pytestmark = pytest.mark.frameworks

NOWHERE = "http://localhost:1"  # a provider that is never asked
IN_DJANGO = "from scconnect_wsgi.django import current_user"
IN_PYRAMID = "router.request_context({**request.environ})"


class AnonymousUser:
    """As Django's, which cannot be imported in a process without Django's settings."""

    __module__ = "django.contrib.auth.models"


def a_response():
    return HttpResponse("joe", content_type="text/plain", charset="utf-8")


def asked_too_early():
    raise AssertionError("the lazy object was asked")


def store_token(token, request):
    return {}


def pyramids_request():
    """Return Pyramid's class of requests. Some environments of tox.ini do not have it."""
    from pyramid.request import Request

    return Request


# Functions, because pytest would look at a lazy object
MISTAKES = {
    "request.user": (lambda: SimpleLazyObject(asked_too_early), IN_DJANGO),
    "an AnonymousUser": (AnonymousUser, IN_DJANGO),
    "the class of AnonymousUser": (lambda: AnonymousUser, IN_DJANGO),
    "a view's class": (lambda: View, IN_DJANGO),
    "a lazy text": (lambda: lazystr("joe"), IN_DJANGO),
    "a property": (lambda: pyramids_request().authenticated_userid, IN_PYRAMID),
    "a reified property": (lambda: pyramids_request().response, IN_PYRAMID),
    "a request of Pyramid": (lambda: pyramids_request().blank("/"), IN_PYRAMID),
    "the class of requests": (pyramids_request, IN_PYRAMID),
}


@pytest.mark.parametrize(("make_given", "recipe"), MISTAKES.values(), ids=MISTAKES)
def test_what_belongs_to_one_request_is_refused_when_it_is_given(make_given, recipe):
    given = make_given()
    for make in (
        lambda: check_identify(given),
        lambda: Connections(flow_for("oauth2", NOWHERE), MemoryStore(), identify=given),
    ):
        with pytest.raises(ConfigurationError) as raised:
            make()
        assert raised.value.option == "identify"
        assert recipe in raised.value.message


@pytest.mark.parametrize(
    "given",
    [
        lambda request: request.user.pk,
        lambda request: request.session["user"],
        lambda request: request.authenticated_userid,
        lambda request: request.identity.id,
        lambda request: {}[request.path],
        lambda request: a_response(),
        lambda request: AnonymousUser(),
        lambda request: SimpleLazyObject(AnonymousUser),
        lambda request: 7,
    ],
    ids=[
        "request.user",
        "request.session",
        "authenticated_userid",
        "identity",
        "another mistake",
        "a view",
        "nobody",
        "a lazy user",
        "a number",
    ],
)
def test_the_first_click_says_what_is_wrong(given, request, caplog):
    application = SCConnect(
        page_of_the_site,
        flow_for("oauth2", NOWHERE),
        secret_key=KEY,
        store_token=store_token,
        identify=given,
        base_url=NOWHERE,
    )
    click = webob.Request.blank("/oauth/request_token", base_url=NOWHERE)
    click.headers.update({"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "navigate"})
    fields = webob.Request.blank(click.get_response(application).location).GET
    assert fields["error"] == "start_refused"
    said = fields["error_description"]
    name = request.node.callspec.id
    if name in ("request.user", "request.session", "authenticated_userid", "identity"):
        assert f"no `{name.removeprefix('request.')}`" in said
        assert IN_DJANGO in said
        assert IN_PYRAMID in said
    elif name == "another mistake":
        assert "Likely cause" not in said
    else:
        assert "a string, not" in said
        assert "str(user.id) if user.is_authenticated" in said


@pytest.mark.parametrize("result", [a_response(), 43], ids=["a response", "a number"])
def test_a_storage_that_returns_a_response_of_django_hears_of_hand_over(result, soundcloud):
    application = SCConnect(
        page_of_the_site,
        soundcloud.oauth2(),
        secret_key=KEY,
        store_token=lambda token, request: result,
    )
    fields = soundcloud.connect(application).fields
    assert fields["error"] == "storage_failed"
    assert f"not {type(result).__name__}. To answer" in fields["error_description"]
    assert "HAND_OVER" in fields["error_description"]


def test_a_response_of_pyramid_is_taken(soundcloud):
    def finish(token, request):
        from pyramid.httpexceptions import HTTPSeeOther

        return HTTPSeeOther("/done")

    application = SCConnect(
        page_of_the_site, soundcloud.oauth2(), secret_key=KEY, store_token=finish
    )
    assert soundcloud.connect(application).location == "http://localhost/done"
