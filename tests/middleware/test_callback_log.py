"""The callback URL in the log: if it is not the registered one, nothing else says so."""

import logging
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import pytest
from support.browser import CLICK, Browser
from support.flows import CLIENT, flow_for
from support.site import KEY, Store, page_of_the_site, running_site

from scconnect_wsgi import SCConnect
from scconnect_wsgi.middleware import _callback_log
from scconnect_wsgi.protocols import OAuth2


@pytest.fixture(params=["oauth1", "oauth2"])
def protocol(request):
    return request.param


def callbacks_logged(caplog):
    """Return the level and the text of every record about a callback URL."""
    return [
        (record.levelno, record.getMessage())
        for record in caplog.records
        if record.getMessage().startswith("The callback URL is ")
    ]


def test_the_callback_url_is_logged_at_the_first_start_and_never_again(
    protocol, provider, browser, caplog
):
    with running_site(flow_for(protocol, provider.url)) as site:
        browser.get(f"{site.url}/")
        assert callbacks_logged(caplog) == []
        for _ in range(3):
            browser.connect(site)
    [(level, text)] = callbacks_logged(caplog)
    assert level == logging.INFO
    assert f"The callback URL is {site.callback}. The client id is {CLIENT[0]!r}. " in text
    assert "base_url is not set" in text


def test_it_says_no_word_of_the_host_if_a_base_url_was_given(protocol, provider, browser, caplog):
    root = "http://localhost:9/shop"
    with running_site(flow_for(protocol, provider.url), base_url=root) as site:
        browser.get(site.start)
    [(_, text)] = callbacks_logged(caplog)
    assert f" {root}/oauth/access_token. " in text
    assert "base_url" not in text


def test_every_address_that_users_come_by_is_logged(protocol, provider, browser, caplog):
    """A provider that knows only one of them shows a blank page to the others."""
    with running_site(flow_for(protocol, provider.url)) as site:
        port = urlsplit(site.url).port
        for host in ["localhost", "127.0.0.1", "localhost"]:
            browser.get(f"http://{host}:{port}/oauth/request_token")
    said = [text.split()[4] for _, text in callbacks_logged(caplog)]
    assert said == [
        f"http://{host}:{port}/oauth/access_token." for host in ("localhost", "127.0.0.1")
    ]


def test_a_provider_that_refuses_the_callback_does_not_keep_it_out_of_the_log(browser, caplog):
    """OAuth 1.0a sends the callback URL first, and the provider may refuse that."""
    with running_site(flow_for("oauth1", "http://127.0.0.1:9")) as site:
        browser.get(site.start)
    assert len(callbacks_logged(caplog)) == 1


def test_a_request_that_starts_nothing_logs_nothing(protocol, provider, browser, caplog):
    with running_site(flow_for(protocol, provider.url)) as site:
        browser.get(site.start, **{**CLICK, "Sec-Fetch-Site": "cross-site"})
        browser.get(site.callback)
    assert callbacks_logged(caplog) == []


def test_threads_that_start_together_log_it_once(provider, caplog):
    def start(site):
        with Browser() as browser:
            return browser.get(site.start).status_code

    with (
        running_site(flow_for("oauth2", provider.url)) as site,
        ThreadPoolExecutor(8) as pool,
    ):
        assert list(pool.map(start, [site] * 16)) == [303] * 16
    assert len(callbacks_logged(caplog)) == 1


@pytest.mark.slow
def test_a_callable_for_many_hosts_does_not_fill_the_memory(provider, browser, caplog):
    hosts = iter(range(_callback_log.MOST + 20))
    with running_site(
        flow_for("oauth2", provider.url), base_url=lambda request: f"https://h{next(hosts)}.example"
    ) as site:
        for _ in range(_callback_log.MOST + 10):
            browser.get(site.start)
    assert len(callbacks_logged(caplog)) == _callback_log.MOST


def test_a_client_id_with_a_line_break_makes_no_line_of_its_own(caplog):
    _callback_log.CallbackLog("id\nERROR forged", is_derived=False).log("https://app.example/x")
    assert callbacks_logged(caplog)
    assert "\n" not in callbacks_logged(caplog)[0][1]


def test_a_flow_of_somebody_else_needs_no_client_id(provider, browser, caplog):
    class Somebody:
        """A flow with nothing beyond the contract."""

        def __init__(self, flow):
            self.name = flow.name
            self.audience = flow.audience
            self.begin = flow.begin
            self.flow_id = flow.flow_id
            self.finish = flow.finish

    with running_site(Somebody(flow_for("oauth2", provider.url))) as site:
        assert browser.get(site.start).status_code == 303
    [(_, text)] = callbacks_logged(caplog)
    assert "client" not in text


def test_nothing_is_logged_when_the_site_is_built(caplog):
    SCConnect(page_of_the_site, OAuth2(*CLIENT), secret_key=KEY, store_token=Store())
    assert callbacks_logged(caplog) == []
