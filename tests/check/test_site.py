"""`scconnect check --url`: what a running site answers, without a proxy in front of it."""

import socket
from contextlib import contextmanager

import pytest
from support.flows import CLIENT, flow_for
from support.secure import Authority, serving_over_tls
from support.site import KEY, Mounted, page_of_the_site

from scconnect_wsgi import HAND_OVER, OAuth2, OAuth2Provider, SCConnect
from scconnect_wsgi.check._addresses import compare_roots
from scconnect_wsgi.check._browsing import Visitor, shown, split
from scconnect_wsgi.check._cookies import check_cookies
from scconnect_wsgi.check._output import as_text
from scconnect_wsgi.check._report import Report
from scconnect_wsgi.check._site import _stops_scripts, check_sites
from scconnect_wsgi.check._wrapped import sites_in
from scconnect_wsgi.connections import Connections
from scconnect_wsgi.middleware import CLOSE_CSP, describe, sentences
from scconnect_wsgi.sandbox import serve
from scconnect_wsgi.stores import MemoryStore

FLOW = OAuth2(*CLIENT)


def site_with(flow=FLOW, **options):
    options = {"secret_key": KEY, "store_token": print, **options}
    return SCConnect(page_of_the_site, flow, **options)


def looked(application, url, *, settings=None, ca_bundle=None):
    """Look at a running site, and return the report. ``settings`` are other ones than its own."""
    report = Report()
    sites = [describe(site) for site in sites_in(settings or application)]
    check_sites(sites, url, ca_bundle, report)
    assert CLIENT[1] not in str(report)
    return report


def codes(report):
    return [finding.code for finding in report.findings]


@contextmanager
def running(around=None, prefix="", **options):
    """Run a site whose base_url is right, and yield it and its address."""

    def application(environ, start_response):
        return served(environ, start_response)

    with serve(application) as server:
        url = server.url.replace("127.0.0.1", "localhost") + prefix
        site = site_with(**{"base_url": url, **options})
        served = Mounted(site, prefix) if prefix else site
        served = around(served) if around else served
        yield site, url


def without(*names):
    """A proxy that takes headers of requests away."""

    def around(app):
        def application(environ, start_response):
            return app({k: v for k, v in environ.items() if k not in names}, start_response)

        return application

    return around


def answering(path, status, headers=(), body=b"hello"):
    """A proxy that answers one path itself."""

    def around(app):
        def application(environ, start_response):
            if not environ["PATH_INFO"].endswith(path):
                return app(environ, start_response)
            start_response(status, [("Content-Type", "text/html"), *headers])
            return [body]

        return application

    return around


# Healthy sites


@pytest.mark.parametrize("protocol", ["oauth2", "oauth1"])
@pytest.mark.parametrize("prefix", ["", "/shop"])
def test_a_site_on_this_machine_is_healthy(root, protocol, prefix):
    with running(flow=flow_for(protocol, root), prefix=prefix) as (site, url):
        report = looked(site, url)
    assert codes(report) == []
    assert report.callback_urls in ([], [f"{url}/oauth/access_token"])


def test_a_site_without_base_url_is_healthy_on_this_machine():
    with running(base_url=None) as (site, url):
        report = looked(site, url)
    assert codes(report) == []
    assert report.callback_urls == [f"{url}/oauth/access_token"]


def test_other_paths_are_looked_at():
    paths = {
        "request_token_path": "/connect/",
        "access_token_path": "/connected/",
        "assets_path": "/static/sc",
    }
    with running(**paths) as (site, url):
        assert codes(looked(site, url)) == []


def test_a_site_over_tls_is_judged_by_a_bundle(tmp_path):
    authority = Authority()

    def application(environ, start_response):
        return site(environ, start_response)

    with serving_over_tls(application, authority.tls) as url:
        site = site_with(base_url=url)
        assert codes(looked(site, url, ca_bundle=authority.write(tmp_path))) == []


@pytest.mark.parametrize("require", [False, True])
def test_a_login_is_healthy(root, require):
    connections = Connections(flow_for("oauth2", root), MemoryStore())

    def application(environ, start_response):
        return site(environ, start_response)

    with serve(application) as server:
        site = connections.login(
            page_of_the_site, secret_key=KEY, base_url=server.url, require=require
        )
        assert codes(looked(site, server.url)) == []


def test_a_wrapped_site_is_healthy(root):
    flow = flow_for("oauth2", root)
    connections = Connections(flow, MemoryStore(), identify=lambda request: "joe")

    def application(environ, start_response):
        return site(environ, start_response)

    with serve(application) as server:
        site = connections.wrap(page_of_the_site, secret_key=KEY, base_url=server.url)
        assert codes(looked(site, server.url)) == []


@pytest.mark.parametrize("sign_in_url", [None, "/login"])
def test_a_site_for_signed_in_users_says_what_was_not_looked_at(sign_in_url):
    options = {"identify": lambda request: None, "sign_in_url": sign_in_url}
    with running(**options) as (site, url):
        report = looked(site, url)
    assert codes(report) == []
    assert "were not looked at" in as_text(report)


def test_a_site_for_signed_in_users_is_compared_by_its_base_url():
    with running(identify=lambda request: None, base_url="https://www.example") as (site, url):
        assert codes(looked(site, url)) == ["host-differs"]


@pytest.mark.parametrize(
    "options", [{"on_failure": lambda error, request: {}}, {"on_failure": HAND_OVER}]
)
def test_a_site_that_answers_failures_itself_is_healthy(options):
    with running(**options) as (site, url):
        assert codes(looked(site, url)) == []


def test_a_proxy_that_takes_fetch_metadata_away_is_healthy():
    names = ("HTTP_SEC_FETCH_SITE", "HTTP_SEC_FETCH_MODE", "HTTP_SEC_FETCH_DEST")
    with running(around=without(*names)) as (site, url):
        assert codes(looked(site, url)) == []


def test_a_question_in_the_sites_own_words_is_recognised():
    (question,) = (each for each in sentences() if each.startswith("You may have come here"))
    texts = {"en": {question: "Do you want to connect your account?"}}
    with running(around=without("HTTP_SEC_FETCH_SITE"), texts=texts) as (site, url):
        assert codes(looked(site, url)) == []


def test_a_provider_that_names_itself_is_told_so():
    provider = OAuth2Provider(
        "https://a.example/authorize", "https://a.example/token", issuer="https://a.example"
    )
    with running(flow=OAuth2(*CLIENT, provider=provider)) as (site, url):
        assert codes(looked(site, url)) == []


def test_several_sites_are_looked_at_below_their_prefixes():
    def application(environ, start_response):
        name = "inner" if environ["PATH_INFO"].startswith("/inner/") else "outer"
        return apps[name](environ, start_response)

    with serve(application) as server:
        outer = site_with(base_url=server.url)
        inner = site_with(base_url=f"{server.url}/inner")
        apps = {"outer": outer, "inner": Mounted(inner, "/inner")}
        report = Report()
        check_sites([describe(outer), describe(inner)], server.url, None, report)
    assert codes(report) == []


@pytest.mark.parametrize("protocol", ["oauth2", "oauth1"])
def test_a_deployment_whose_callback_is_relayed_is_healthy(root, protocol):
    registered = "http://127.0.0.1:9/oauth/access_token"
    options = {"callback_url": registered, "relay_key": "a key of the relay, which is long enough"}
    with running(flow=flow_for(protocol, root), **options) as (site, url):
        report = looked(site, url)
        assert describe(site).callback_url == registered
    assert codes(report) == []


def test_a_deployment_whose_callback_is_relayed_is_compared_by_its_base_url():
    registered = "https://app.example/oauth/access_token"
    options = {"callback_url": registered, "relay_key": "a key of the relay, which is long enough"}
    with running(base_url="https://www.example", **options) as (site, url):
        assert codes(looked(site, url)) == ["host-differs"]


def test_a_page_that_uses_the_script_is_not_the_script():
    page = b"<!DOCTYPE html><script>SC.Connect.prepareButton(button, {});</script>"
    site_of_one_page = answering("", "200 OK", body=page)
    with running(around=site_of_one_page, base_url="https://app.example/shop") as (site, url):
        found = {finding.code: finding for finding in looked(site, f"{url}/shop").findings}
    assert "SCRIPT_NAME" in found["script-missing"].mend


# Redirects


def test_an_address_without_the_prefix_is_answered_by_one_piece_of_advice():
    with running(prefix="/shop") as (site, url):
        (finding,) = looked(site, url.removesuffix("/shop")).findings
    assert finding.code == "script-missing"
    assert f"below {url}, which is its base_url" in finding.cause
    assert finding.mend == "Give that address as --url."


def test_an_address_with_a_prefix_too_many_is_answered_by_one_piece_of_advice():
    with running() as (site, url):
        (finding,) = looked(site, f"{url}/shop").findings
    assert finding.mend == "Give that address as --url."


def test_a_base_url_without_the_prefix_is_answered_by_one_piece_of_advice():
    with running(prefix="/shop") as (_, url):
        bare = url.removesuffix("/shop")
        (finding,) = looked(None, bare, settings=site_with(base_url=url)).findings
        (other,) = looked(None, url, settings=site_with(base_url=bare)).findings
    assert (finding.code, other.code) == ("script-missing", "other-settings")


def test_a_redirect_to_the_right_address_is_followed():
    with running() as (site, url):
        location = [("Location", f"{url}/sc-connect/sc-connect.js")]
        moved = answering("sc-connect.js", "301 Moved", location)(page_of_the_site)
        with serve(moved) as old:
            report = looked(site, old.url)
    assert codes(report) == []
    assert f"redirected to {url}, which was tried" in as_text(report)


def test_a_redirect_to_a_sign_in_page_is_found():
    wall = answering("sc-connect.js", "302 Found", [("Location", "/login?next=secret")])
    with running(around=wall) as (site, url):
        (finding,) = looked(site, url).findings
    assert finding.code == "script-missing"
    assert f"is redirected to {url}/login." in finding.message


def test_a_start_that_is_moved_is_found():
    moved = answering(
        "request_token", "301 Moved", [("Location", "https://b.example/oauth/request_token")]
    )
    with running(around=moved) as (site, url):
        assert codes(looked(site, url)) == ["start-redirected"]


# What else goes wrong


@pytest.mark.parametrize(
    "status", ["401 No", "403 No", "404 No", "405 No", "500 No", "502 No", "200 OK"]
)
def test_a_start_that_something_else_answers_is_found(status):
    with running(around=answering("request_token", status)) as (site, url):
        report = looked(site, url)
    assert codes(report) == ["start-failed"]
    assert status[:3] in report.findings[0].message


def test_a_start_that_fails_says_what_the_site_says(root):
    flow = flow_for("oauth1", f"{root}/misbehave/html")
    with running(flow=flow) as (site, url):
        (finding,) = looked(site, url).findings
    assert finding.code == "start-failed"
    assert "provider_error" in finding.message
    assert "holds no token and secret" in finding.message


def test_a_site_that_runs_with_another_provider_is_found(root):
    with running(flow=flow_for("oauth2", root)) as (site, url):
        report = looked(site, url, settings=site_with(base_url=url))
    assert codes(report) == ["wrong-provider"]


@pytest.mark.parametrize(
    "other", [{"base_url": "https://app.example"}, {"access_token_path": "/elsewhere"}]
)
def test_a_site_that_runs_with_other_settings_is_found(other):
    with running(**other) as (site, url):
        report = looked(site, url, settings=site_with(base_url=url))
    assert "other-settings" in codes(report)


def test_workers_with_different_keys_are_found():
    def around(app):
        other = site_with(
            base_url="http://localhost:1", secret_key="another key, which is long enough too"
        )

        def application(environ, start_response):
            is_callback = environ["PATH_INFO"] == "/oauth/access_token"
            return (other if is_callback else app)(environ, start_response)

        return application

    with running(around=around) as (site, url):
        assert codes(looked(site, url)) == ["callback-cookies"]


def test_a_script_of_another_version_is_a_note():
    script = answering("sc-connect.js", "200 OK", body=b"SC.Connect.prepareButton = other")
    with running(around=script) as (site, url):
        report = looked(site, url)
    assert codes(report) == []
    assert "another version" in as_text(report)


def test_a_site_that_does_not_answer_is_found():
    (finding,) = looked(site_with(base_url="http://localhost:9"), "http://localhost:9").findings
    assert finding.code == "site-unreachable"
    assert "refused the connection" in finding.message


def test_a_site_that_hangs_is_found(monkeypatch):
    monkeypatch.setattr("scconnect_wsgi.check._browsing.PATIENCE", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        report = looked(site_with(base_url=url), url)
    assert codes(report) == ["site-unreachable"]


def test_an_answer_that_is_not_http_is_found():
    def garbage(environ, start_response):
        start_response("200 OK", [("Content-Encoding", "gzip")])
        return [b"this is no gzip"]

    with serve(garbage) as server:
        report = looked(site_with(base_url=server.url), server.url)
    assert codes(report) == ["site-unreachable"]


# Parts


@pytest.mark.parametrize(
    ("believed", "root", "code"),
    [
        ("https://a.example", "https://a.example", ""),
        ("https://a.example", "https://A.example:443/", ""),
        ("http://127.0.0.1:5008", "https://a.example", "loopback-callback"),
        ("https://www.a.example", "https://a.example", "host-differs"),
        ("https://a.example", "http://a.example", "scheme-differs"),
        ("https://a.example/shop", "https://a.example", "prefix-differs"),
        ("https://a.example:8443", "https://a.example", "port-differs"),
    ],
)
def test_two_addresses_are_compared(believed, root, code):
    report = Report()
    site = describe(site_with(base_url=lambda request: ""))
    compare_roots(site, root, f"{believed}/oauth/access_token", report)
    assert codes(report) == ([code] if code else [])


FLOW_COOKIE = f"scconnect-{'0' * 24}"
FINE = "; HttpOnly; Max-Age=600; Path=/; SameSite=Lax"


@pytest.mark.parametrize(
    ("prefix", "attributes", "is_https", "found"),
    [
        ("", FINE, False, set()),
        ("__Host-Http-", f"{FINE}; Secure", True, set()),
        ("__Host-Http-", f"{FINE.lower()};secure", True, set()),
        ("__Host-Http-", FINE, True, {"cookie-secure"}),
        ("__Host-", f"{FINE}; Secure", True, {"cookie-name"}),
        ("__Host-Http-", f"{FINE}; Secure; Domain=a.example", True, {"cookie-domain"}),
        ("", f"{FINE}; Domain=a.example", False, {"cookie-domain"}),
        ("", "; HttpOnly; Path=/oauth; SameSite=Lax", False, {"cookie-path"}),
        ("", "; HttpOnly; SameSite=Lax", False, {"cookie-path"}),
        ("", "; HttpOnly; Path=/", False, {"cookie-samesite"}),
        ("", "; HttpOnly; Path=/; SameSite=None", False, {"cookie-samesite"}),
        ("", "; HttpOnly; Path=/; SameSite=STRICT", False, {"cookie-samesite"}),
        ("", "; Path=/; SameSite=Lax", False, {"cookie-httponly"}),
        ("renamed-", FINE, False, {"cookie-name"}),
    ],
)
def test_the_attributes_of_a_cookie_are_judged(prefix, attributes, is_https, found):
    report = Report()
    pair = [f"{prefix}{FLOW_COOKIE}=a", f"{prefix}{FLOW_COOKIE}-signature=b"]
    headers = [f"{cookie}{attributes}" for cookie in pair]
    assert check_cookies(["other=1; Path=/", *headers], is_https, report)
    assert set(codes(report)) == found
    assert not check_cookies(headers[:1], is_https, report)


@pytest.mark.parametrize(
    ("max_age", "code"),
    [("600", ""), ("60", "cookie-lifetime"), ("", "cookie-lifetime"), ("9999", "cookie-lifetime")],
)
def test_a_proxy_that_changes_the_lifetime_of_cookies_is_found(root, max_age, code):
    def around(app):
        def application(environ, start_response):
            def start(status, headers, *error):
                changed = [
                    (name, text.replace("Max-Age=600", f"Max-Age={max_age}" if max_age else "X"))
                    for name, text in headers
                ]
                return start_response(status, changed, *error)

            return app(environ, start)

        return application

    with running(around, flow=flow_for("oauth2", root)) as (site, url):
        report = looked(site, url)
    assert codes(report) == ([code] if code else [])
    assert "it should be 600" in as_text(report) or not code


def test_the_lifetime_that_the_site_has_is_the_right_one(root):
    with running(flow=flow_for("oauth2", root), cookie_max_age=60) as (site, url):
        assert codes(looked(site, url)) == []


@pytest.mark.parametrize(
    ("policy", "stops"),
    [
        (CLOSE_CSP, False),
        ("default-src 'none'", True),
        ("default-src 'self'", False),
        ("default-src 'self'; script-src 'nonce-abc'", True),
        ("script-src https:", False),
        ("script-src https://a.example", False),
        ("script-src a.example", False),
        ("img-src 'none'", False),
        ("sandbox", True),
        ("sandbox allow-scripts", False),
        ("", False),
    ],
)
def test_a_policy_that_stops_scripts_is_known(policy, stops):
    assert _stops_scripts(policy) == stops


def test_an_address_is_shown_without_its_query_and_for_a_terminal():
    assert shown("https://joe:secret@a.example/p\u202e?code=1#f") == "https://a.example/p\\u202e"
    assert split("https://[").netloc == ""


def test_a_location_that_cannot_be_read_is_none():
    with serve(answering("", "302 Found", [("Location", "https://[")])(page_of_the_site)) as server:
        page = Visitor(None).get(f"{server.url}/")
    assert page.location == ""


RELAY = {"callback_url": "https://prod.example/oauth/access_token", "relay_key": KEY[::-1]}


@pytest.mark.parametrize("options", [{}, {"base_url": None}], ids=["base_url", "no base_url"])
def test_a_deployment_behind_another_is_healthy(options):
    with running(**RELAY, **options) as (site, url):
        report = looked(site, url)
    assert codes(report) == []


def test_a_deployment_behind_another_may_have_another_address():
    with running(**RELAY) as (site, url):
        address = url.replace("localhost", "127.0.0.1")
        assert codes(looked(site, address)) == ["host-differs"]
        other = site_with(
            base_url=url, **{**RELAY, "callback_url": "https://b.example/oauth/access_token"}
        )
        assert codes(looked(site, url, settings=other)) == ["other-settings"]
