"""The id of a failure: the same one in the log, in the page's fields, and on our own pages."""

import pickle
import re

import pytest
from support.browser import ARRIVAL, CLICK
from support.flows import flow_for
from support.responses import landed, query
from support.site import Store, running_site

from scconnect_wsgi import HAND_OVER
from scconnect_wsgi.errors import (
    ConfigurationError,
    ConnectError,
    ConnectionRevoked,
    ProviderUnavailable,
)

ID = re.compile(r"\(error_id ([0-9a-f]{8})\)")
ON_PAGE = re.compile(r"<code>([0-9a-f]{8})</code>")


@pytest.fixture(params=["oauth1", "oauth2"])
def flow(request, provider):
    return flow_for(request.param, provider.url)


def logged(caplog):
    """Return the level and the id of every record of ours that has one."""
    return [
        (record.levelname, ID.search(record.getMessage())[1])
        for record in caplog.records
        if record.name == "scconnect_wsgi" and ID.search(record.getMessage())
    ]


def test_a_refusal_has_the_same_id_for_the_page_and_in_the_log(flow, browser, caplog):
    with running_site(flow) as site:
        first = landed(browser.connect(site, "deny"))
        second = landed(browser.connect(site, "deny"))
    # A user who refuses is no reason to look at the log
    assert logged(caplog) == [("INFO", first["error_id"]), ("INFO", second["error_id"])]
    assert first["error_id"] != second["error_id"]
    assert f"access_denied: {first['error_description']} (error_id" in caplog.text


def test_any_other_failure_is_a_warning(flow, browser, caplog):
    with running_site(flow) as site:
        fields = landed(browser.get(f"{site.callback}?state=a&oauth_token=a", **ARRIVAL))
    assert logged(caplog) == [("WARNING", fields["error_id"])]


@pytest.mark.parametrize("return_to", ["", "?return_to=/account"], ids=["popup", "page"])
def test_the_id_arrives_wherever_the_flow_ends(flow, browser, return_to, caplog):
    with running_site(flow) as site:
        site.start += return_to
        response = browser.connect(site, "deny")
    [(_, error_id)] = logged(caplog)
    assert query(response.headers["Location"])["error_id"] == error_id


# Callables of the site


def boom(*_):
    raise LookupError("the site's own")


RAISING = {"identify": {"identify": boom}, "base_url": {"base_url": boom}}


@pytest.mark.parametrize("options", RAISING.values(), ids=RAISING)
def test_the_traceback_of_a_callable_has_the_id_of_the_failure(flow, browser, options, caplog):
    with running_site(flow, **options) as site:
        fields = landed(browser.get(site.start))
    assert fields["error"] == "start_refused"
    traceback, failure = logged(caplog)
    assert traceback == ("ERROR", fields["error_id"])
    assert failure == ("WARNING", fields["error_id"])


def test_the_tracebacks_of_store_token_have_the_id_of_the_failure(flow, browser, caplog):
    with running_site(flow, store_token=boom, on_failure=boom) as site:
        fields = landed(browser.connect(site))
    assert [error_id for _, error_id in logged(caplog)] == [fields["error_id"]] * 4
    assert [level for level, _ in logged(caplog)] == ["ERROR", "ERROR", "WARNING", "ERROR"]


def test_on_failure_knows_the_id_and_its_fields_get_it(flow, browser, caplog):
    heard = []

    def on_failure(error, request):
        heard.append(error.error_id)
        return {"sorry": True}

    with running_site(flow, on_failure=on_failure) as site:
        fields = landed(browser.connect(site, "deny"))
    assert fields == {"sorry": "true", "error_id": heard[0]}
    assert logged(caplog) == [("INFO", heard[0])]


def test_an_id_of_the_site_s_own_is_kept(flow, browser):
    """It may be the one of the site's error reporter."""
    with running_site(flow, on_failure=lambda error, request: {"error_id": "mine"}) as site:
        assert landed(browser.connect(site, "deny")) == {"error_id": "mine"}


def test_an_error_that_is_handed_over_has_it_and_so_has_its_close_url(flow, browser, caplog):
    heard = []

    def app(environ, start_response):
        heard.append(environ["scconnect.error"].error_id)
        location = environ["scconnect.close_url"]({"error": "sorry"})
        start_response("303 See Other", [("Location", location), ("Content-Type", "text/plain")])
        return [b""]

    with running_site(flow, app=app, on_failure=HAND_OVER) as site:
        fields = landed(browser.connect(site, "deny"))
    assert fields == {"error": "sorry", "error_id": heard[0]}
    assert logged(caplog) == [("INFO", heard[0])]


def test_a_success_has_none(flow, browser, caplog):
    with running_site(flow, store_token=Store()) as site:
        assert "error_id" not in landed(browser.connect(site))
    assert logged(caplog) == []


# Our own pages

FAILED = {
    "damaged query": (400, lambda site: (site.callback + "?state=a&state=b", ARRIVAL)),
    "damaged start": (400, lambda site: (site.start + "?a=%ff", CLICK)),
    "damaged link": (400, lambda site: (site.start + "?return_to=//evil.example", CLICK)),
    "not a click": (403, lambda site: (site.start, {**CLICK, "Sec-Fetch-Dest": "image"})),
}
NOT_FAILED = {
    "another site's link": (200, lambda site: (site.start, ARRIVAL)),
    "nothing there": (404, lambda site: (site.url + "/sc-connect/nothing", CLICK)),
    "loaded ahead": (None, lambda site: (site.start, {**CLICK, "Sec-Purpose": "prefetch"})),
}


@pytest.mark.parametrize(("status", "ask"), FAILED.values(), ids=FAILED)
def test_a_page_about_a_failure_shows_the_id_that_is_logged(flow, browser, status, ask, caplog):
    with running_site(flow) as site:
        address, headers = ask(site)
        response = browser.get(address, **headers)
    assert response.status_code == status
    assert logged(caplog) == [("WARNING", ON_PAGE.search(response.text)[1])]
    # No word of the request, which anybody may have written
    ours = [record for record in caplog.records if record.name == "scconnect_wsgi"]
    assert "evil" not in ours[0].getMessage()


def test_a_method_that_no_click_has_is_a_failure_too(flow, browser, caplog):
    """A provider may come back with a POST (response_mode=form_post)."""
    with running_site(flow) as site:
        response = browser.post(site.callback, {"code": "x"}, **ARRIVAL)
    assert response.status_code == 405
    assert logged(caplog) == [("WARNING", ON_PAGE.search(response.text)[1])]


@pytest.mark.parametrize(("status", "ask"), NOT_FAILED.values(), ids=NOT_FAILED)
def test_a_page_that_is_about_no_failure_has_no_id(flow, browser, status, ask, caplog):
    with running_site(flow) as site:
        address, headers = ask(site)
        response = browser.get(address, **headers)
    assert response.status_code == (status or response.status_code)
    assert ON_PAGE.search(response.text) is None
    assert logged(caplog) == []


# The errors themselves


def test_every_error_has_an_id_of_its_own_that_survives_the_way_to_another_process():
    errors = [
        ConnectError("No."),
        ProviderUnavailable("No answer.", retry_after=7),
        ConnectionRevoked("Gone."),
        ConfigurationError("proxy", "must be a URL."),
    ]
    ids = [error.error_id for error in errors]
    assert len(set(ids)) == len(errors)
    assert all(re.fullmatch("[0-9a-f]{8}", error_id) for error_id in ids)
    copies = [pickle.loads(pickle.dumps(error)) for error in errors]
    assert [copy.error_id for copy in copies] == ids
    assert [copy.fields()["error_id"] for copy in copies] == ids
