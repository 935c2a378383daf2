"""`scconnect check --online`: what a provider's answers say of client, clock and API."""

import http.server
import socket
import threading
import time
from email.utils import formatdate
from urllib.parse import parse_qsl

import pytest
from support.flows import CLIENT, flow_for
from support.secure import Authority, serving_over_tls
from support.site import KEY, page_of_the_site

from scconnect_wsgi import OAuth1, OAuth1Provider, OAuth2, OAuth2Provider, SCConnect, Transport
from scconnect_wsgi.check import _online
from scconnect_wsgi.check._online import check_providers
from scconnect_wsgi.check._output import as_text
from scconnect_wsgi.check._report import Report
from scconnect_wsgi.flow import Flow
from scconnect_wsgi.middleware import describe
from scconnect_wsgi.sandbox import Sandbox, serve

both_protocols = pytest.mark.parametrize("protocol", ["oauth2", "oauth1"])
HEALTHY = {"oauth2": ("400 Bad Request", '{"error": "invalid_grant"}')}
GRANTED = ("200 OK", "oauth_token=a&oauth_token_secret=b&oauth_callback_confirmed=true")
TIMES = {"in time": 0, "20 seconds off": 20, "20 seconds the other way": -20}


class Provider:
    """A provider that answers the same to every request for a token, and has its own clock.

    ``to_strangers`` is what it answers to another secret.
    """

    def __init__(
        self, status, body, *, ahead=0, api="401 Unauthorized", to_strangers=None, page=None
    ):
        self.answer = (status, body)
        self.to_strangers = to_strangers or ("401 Unauthorized", '{"error": "invalid_client"}')
        self.ahead = ahead
        self.api = api
        self.page = page
        self.asked = []

    def __call__(self, environ, start_response):
        length = int(environ.get("CONTENT_LENGTH") or 0)
        body = environ["wsgi.input"].read(length).decode()
        self.asked.append((environ["PATH_INFO"], body))
        status, text = self.answer
        if environ["PATH_INFO"] == "/me":
            status, text = self.api, "{}"
        elif environ["PATH_INFO"] == "/authorize" and self.page:
            return self.show_page(environ, start_response)
        elif "client_secret=" in body and CLIENT[1] not in body:
            status, text = self.to_strangers
        headers = [("Content-Type", "application/json"), ("Content-Length", str(len(text)))]
        if self.ahead is not None:
            headers.append(("Date", formatdate(time.time() + self.ahead, usegmt=True)))
        start_response(status, headers)
        return [text.encode()]

    def show_page(self, environ, start_response):
        """Answer with the status and the Location of ``page``, as the page does where users allow.

        In the Location, ``{callback}`` is the callback URL of the request.
        """
        query = dict(parse_qsl(environ["QUERY_STRING"]))
        location = self.page[1].format(callback=query.get("redirect_uri", ""))
        start_response(self.page[0], [("Location", location)] if location else [])
        return [b"a page " * 20_000]


def flow_at(protocol, url, client=CLIENT):
    if protocol == "oauth1":
        addresses = (f"{url}/r", f"{url}/authorize", f"{url}/a")
        oauth1 = OAuth1Provider(*addresses, api_url=url)
        return OAuth1(*client, provider=oauth1)
    provider = OAuth2Provider(f"{url}/authorize", f"{url}/token", api_url=url)
    return OAuth2(*client, provider=provider)


def sandbox_flow(protocol, root, client):
    if protocol == "oauth1":
        return OAuth1(*client, provider=Sandbox().oauth1_provider(root))
    return OAuth2(*client, provider=Sandbox().oauth2_provider(root))


def asked(flow):
    """Ask the provider of a flow, and return the report, which holds no secret."""
    site = SCConnect(
        page_of_the_site,
        flow,
        secret_key=KEY,
        store_token=print,
        base_url="http://localhost:8000",
    )
    report = Report()
    check_providers([describe(site), describe(site)], report)
    assert CLIENT[1] not in str(report)
    return report


def answered(protocol="oauth2", *answer, **options):
    """Return the report on a provider with these answers."""
    with serve(Provider(*(answer or HEALTHY[protocol]), **options)) as server:
        return asked(flow_at(protocol, server.url))


def codes(report):
    return [finding.code for finding in report.findings]


@both_protocols
def test_a_client_that_the_sandbox_knows_is_accepted(root, protocol):
    report = asked(flow_for(protocol, root))
    assert codes(report) == []
    assert "accepts the client id and the secret" in as_text(report)
    assert "The API at" in as_text(report)


@both_protocols
@pytest.mark.parametrize("client", [(CLIENT[0], "another-secret"), ("another-client", CLIENT[1])])
def test_a_wrong_client_id_or_secret_is_found(root, protocol, client):
    (finding,) = asked(sandbox_flow(protocol, root, client)).findings
    assert finding.code == "client-refused"
    assert "client id or the client secret" in finding.message


@pytest.mark.parametrize(
    ("status", "body", "code"),
    [
        pytest.param("400 Bad Request", '{"error": "invalid_grant"}', "", id="RFC 6749"),
        pytest.param("401 Unauthorized", '{"error": "invalid_grant"}', "", id="SoundCloud"),
        pytest.param("403 Forbidden", '{"error": "invalid_grant"}', "", id="with 403"),
        pytest.param("200 OK", '{"error": "bad_verification_code"}', "", id="GitHub"),
        pytest.param("200 OK", "error=bad_verification_code", "", id="GitHub, as a form"),
        pytest.param("200 OK", '{"ok": false, "error": "invalid_code"}', "", id="Slack"),
        pytest.param("400 Bad Request", '{"error": "invalid_client"}', "client-refused", id="400"),
        pytest.param("401 Unauthorized", '{"error": "invalid_client"}', "client-refused", id="401"),
        pytest.param(
            "401 Unauthorized", '{"error": "Unauthorized"}', "client-refused", id="a word"
        ),
        pytest.param(
            "200 OK",
            '{"error": "incorrect_client_credentials"}',
            "client-refused",
            id="GitHub's no",
        ),
        pytest.param(
            "200 OK",
            '{"ok": false, "error": "bad_client_secret"}',
            "client-refused",
            id="Slack's no",
        ),
        pytest.param(
            "400 Bad Request", '{"error": "unauthorized_client"}', "client-not-allowed", id="grant"
        ),
        pytest.param(
            "400 Bad Request",
            '{"error": "redirect_uri_mismatch"}',
            "callback-not-registered",
            id="callback",
        ),
        pytest.param("400 Bad Request", '{"error": "invalid_request"}', "", id="says nothing"),
        pytest.param(
            "404 Not Found", '{"error": "Not Found"}', "token-endpoint-unexpected", id="404"
        ),
        pytest.param("200 OK", "<html>", "token-endpoint-unexpected", id="a page"),
        pytest.param("403 Forbidden", "<html>", "token-endpoint-unexpected", id="a firewall"),
        pytest.param("200 OK", '{"access_token": "a"}', "token-endpoint-unexpected", id="a token"),
        pytest.param(
            "400 Bad Request", '{"error": {"code": 1}}', "token-endpoint-unexpected", id="?"
        ),
        pytest.param("500 Oops", "", "token-endpoint-unreachable", id="out of order"),
        pytest.param("429 Slow down", "", "token-endpoint-unreachable", id="too many"),
        pytest.param("302 Found", "", "token-endpoint-unreachable", id="a redirect"),
    ],
)
def test_an_answer_is_understood_in_every_spelling(status, body, code):
    report = answered("oauth2", status, body)
    assert codes(report) == ([code] if code else [])
    assert all(finding.mend for finding in report.findings)


def test_an_answer_that_says_nothing_is_not_guessed():
    report = answered("oauth2", "400 Bad Request", '{"error": "invalid_request"}')
    assert "whether they are right is not known" in as_text(report)


def test_a_provider_that_looks_at_the_code_first_is_told_apart():
    same = ("400 Bad Request", '{"error": "invalid_grant"}')
    report = answered("oauth2", *same, to_strangers=same)
    assert report.ok
    assert "whether yours is right is not known" in as_text(report)


@pytest.mark.parametrize(
    ("status", "body", "code"),
    [
        pytest.param(*GRANTED, "", id="a token"),
        pytest.param("401 Unauthorized", "no", "client-refused", id="401"),
        pytest.param("400 Bad Request", "no", "client-refused", id="400"),
        pytest.param(
            "403 Forbidden", "oauth_problem=signature_invalid", "client-refused", id="why"
        ),
        pytest.param("401 Unauthorized", "oauth_problem=timestamp_refused", "clock", id="clock"),
        pytest.param(
            "401 Unauthorized",
            "oauth_problem=parameter_rejected",
            "callback-not-registered",
            id="callback",
        ),
        pytest.param("404 Not Found", "no", "token-endpoint-unexpected", id="404"),
        pytest.param("200 OK", "<html>", "token-endpoint-unexpected", id="a page"),
    ],
)
def test_an_answer_of_oauth1_is_understood(status, body, code):
    assert codes(answered("oauth1", status, body)) == ([code] if code else [])


def test_a_public_client_has_no_secret_to_be_wrong():
    provider = Provider(*HEALTHY["oauth2"])
    with serve(provider) as server:
        known = OAuth2Provider(
            f"{server.url}/authorize", f"{server.url}/token", token_endpoint_auth="none"
        )
        report = asked(OAuth2(CLIENT[0], provider=known))
    assert report.ok
    assert [path for path, _ in provider.asked] == ["/token", "/authorize"]


# The clock


@pytest.mark.parametrize("ahead", TIMES.values(), ids=TIMES)
def test_a_clock_that_is_a_little_off_is_healthy(ahead):
    assert answered("oauth2", ahead=ahead).ok


@pytest.mark.parametrize(
    ("ahead", "words"),
    [
        (600, "10 minutes behind"),
        (-600, "10 minutes ahead of"),
        (90, "90 seconds behind"),
        (-7200 - 60, "2 hours ahead of"),
        (30 * 86_400, "30 days behind"),
    ],
)
def test_a_clock_that_is_wrong_is_found_with_the_amount(ahead, words):
    report = answered("oauth2", ahead=ahead)
    assert {finding.code for finding in report.findings} == {"clock"}
    assert words in report.findings[0].message


class WithoutDate(http.server.BaseHTTPRequestHandler):
    """A provider whose answers have no Date."""

    def do_POST(self):
        self.send_response_only(400)
        body = HEALTHY["oauth2"][1].encode()
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST  # noqa: N815  # as http.server calls it

    def log_message(self, *arguments):
        pass


def test_an_answer_without_a_date_is_no_finding():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), WithoutDate) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        report = asked(flow_at("oauth2", f"http://127.0.0.1:{server.server_port}"))
        server.shutdown()
    assert report.ok
    assert "clock was not compared" in as_text(report)


# The way there


@both_protocols
def test_a_provider_that_does_not_answer_is_named(protocol):
    report = asked(flow_at(protocol, "http://127.0.0.1:9"))
    assert codes(report) == ["token-endpoint-unreachable", "api-unreachable"]
    assert "refused the connection" in report.findings[0].message


def test_an_address_is_shown_without_its_query():
    root = "http://127.0.0.1:9"
    query = f"?key={CLIENT[1]}"  # `asked` looks for it
    provider = OAuth2Provider(
        f"{root}/authorize", f"{root}/token{query}", api_url=root, account_path=f"/me{query}"
    )
    token, api = asked(OAuth2(*CLIENT, provider=provider)).findings
    assert token.message.startswith(f"{root}/token was asked")
    assert api.message.startswith(f"The API at {root}/me was asked")


def test_a_host_without_an_address_is_named():
    report = asked(flow_at("oauth2", "https://nowhere.invalid"))
    assert "The name nowhere.invalid cannot be resolved" in report.findings[0].message


def test_a_certificate_that_is_not_trusted_is_named():
    with serving_over_tls(page_of_the_site, Authority().tls) as url:
        report = asked(flow_at("oauth2", url))
    assert "certificate" in report.findings[0].message


def test_a_provider_that_hangs_ends_the_wait(monkeypatch):
    monkeypatch.setattr(_online, "PATIENCE", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        provider = OAuth2Provider(f"{url}/authorize", f"{url}/token", api_url=url)
        report = asked(OAuth2(*CLIENT, provider=provider))
    assert codes(report) == ["token-endpoint-unreachable", "api-unreachable"]
    assert "did not answer in time" in report.findings[0].message


@pytest.mark.parametrize(
    ("api", "code"),
    [("401 Unauthorized", ""), ("404 Not Found", ""), ("503 Oops", "api-unreachable")],
)
def test_the_api_is_asked(api, code):
    report = answered("oauth2", api=api)
    assert codes(report) == ([code] if code else [])


PAGES = {
    "a page": ("200 OK", "", ""),
    "a redirect to a login": ("302 Found", "/login?error=none", ""),
    "an error page": ("400 Bad Request", "", ""),
    "no page": ("404 Not Found", "", "authorize-missing"),
    "a page that is gone": ("410 Gone", "", "authorize-missing"),
    "a page that is down": ("503 Service Unavailable", "", "authorize-unreachable"),
    "an error at once": ("302 Found", "{callback}?error=invalid_scope", "authorize-refused"),
    "a code at once": ("302 Found", "{callback}?code=4", ""),
}


@pytest.mark.parametrize(("status", "location", "code"), PAGES.values(), ids=list(PAGES))
def test_the_authorization_page_is_looked_at(status, location, code):
    report = answered("oauth2", page=(status, location))
    assert codes(report) == ([code] if code else [])
    assert "The authorization page http://127.0.0.1" in as_text(report) or code
    assert "client_id=" not in str(report)


def test_the_authorization_page_is_asked_as_a_start_asks_it():
    provider = Provider(*HEALTHY["oauth2"], page=("200 OK", ""))
    queries = []

    def noting(environ, start_response):
        queries.append((environ["PATH_INFO"], environ["QUERY_STRING"]))
        return provider(environ, start_response)

    with serve(noting) as server:
        asked(flow_at("oauth2", server.url))
    (query,) = [dict(parse_qsl(text)) for path, text in queries if path == "/authorize"]
    assert query["client_id"] == CLIENT[0]
    assert query["redirect_uri"] == "http://localhost:8000/oauth/access_token"


@both_protocols
def test_an_authorization_page_at_another_host_is_found_missing(protocol):
    with serve(Provider(*(GRANTED if protocol == "oauth1" else HEALTHY["oauth2"]))) as server:
        nowhere = "http://127.0.0.1:9/authorize"
        if protocol == "oauth1":
            addresses = (f"{server.url}/r", nowhere, f"{server.url}/a")
            flow: Flow = OAuth1(*CLIENT, provider=OAuth1Provider(*addresses, api_url=server.url))
        else:
            known = OAuth2Provider(nowhere, f"{server.url}/token", api_url=server.url)
            flow = OAuth2(*CLIENT, provider=known)
        (finding,) = asked(flow).findings
    assert finding.code == "authorize-unreachable"
    assert finding.message.startswith(f"The authorization page {nowhere} was asked for in vain")


def test_browsers_ask_for_the_authorization_page_without_the_proxy_of_the_site():
    provider = OAuth2Provider("http://127.0.0.1:9/authorize", "http://127.0.0.1:9/token")
    transport = Transport(proxy="http://127.0.0.1:9")
    with serve(Provider(*HEALTHY["oauth2"])) as server:
        provider = OAuth2Provider("http://127.0.0.1:9/authorize", f"{server.url}/token")
        report = asked(OAuth2(*CLIENT, provider=provider, transport=transport))
    assert "authorize-unreachable" not in codes(report)
    assert "without the proxy of this site" in as_text(report)


def test_a_provider_without_an_api_is_no_finding():
    with serve(Provider(*HEALTHY["oauth2"])) as server:
        provider = OAuth2Provider(f"{server.url}/authorize", f"{server.url}/token")
        report = asked(OAuth2(*CLIENT, provider=provider))
    assert report.ok
    assert "no API was asked" in as_text(report)


def test_a_flow_of_somebody_else_is_not_asked():
    class Flow:
        name = "mine"
        audience = "mine"

    report = asked(Flow())
    assert report.ok
    assert "was not asked" in as_text(report)
