"""`scconnect check --url` behind a real nginx, with the mistakes that people make in it."""

import json
from dataclasses import dataclass
from typing import Any

import pytest
from support.commands import run as command
from support.flows import CLIENT
from support.nginx import Front, pass_on
from support.site import KEY, page_of_the_site

from scconnect_wsgi import OAuth2, SCConnect
from scconnect_wsgi.check._report import Report
from scconnect_wsgi.check._site import check_sites
from scconnect_wsgi.middleware import describe
from scconnect_wsgi.sandbox import serve

pytestmark = pytest.mark.servers
CACHE = (
    "proxy_cache starts; proxy_cache_valid any 1m; proxy_cache_key $uri; "
    "proxy_ignore_headers Cache-Control Set-Cookie Vary;"
)


@dataclass
class Mistake:
    """What is wrong in nginx, or between it and the site, and the code of what is found."""

    code: str
    more: str = ""  # in the location
    prefix: str = ""  # of --url
    location: str = ""  # in place of the whole location
    base_url: object = None  # in place of the right one
    log_format: str = "path"


MISTAKES = {
    "nothing": Mistake(""),
    "the prefix is stripped, and base_url has it": Mistake(
        "",
        prefix="/shop",
        location="location /shop/ {{ proxy_pass {backend}/; }}",
        base_url="{url}/shop",
    ),
    "the prefix is kept and swallowed": Mistake(
        "script-missing",
        prefix="/shop",
        location="location /shop/ {{ proxy_pass {backend}; }}",
        base_url="{url}/shop",
    ),
    "the prefix is stripped, and base_url lacks it": Mistake(
        "prefix-differs",
        prefix="/shop",
        location="location /shop/ {{ proxy_pass {backend}/; }}",
    ),
    "--url lacks the prefix": Mistake(
        "script-missing",
        location="location /shop/ {{ proxy_pass {backend}/; }} location / {{ return 404; }}",
        base_url="{url}/shop",
    ),
    "the Host is lost": Mistake(
        "host-differs",
        more="proxy_set_header Host 127.0.0.1:5008;",
        location="location / {{ proxy_pass {backend}; {more} }}",
        base_url=lambda request: request.host_url,
    ),
    "the scheme is lost": Mistake(
        "scheme-differs",
        base_url=lambda request: request.host_url,
    ),
    "base_url is at another host": Mistake("host-differs", base_url="https://www.app.example"),
    "the cookie is Strict": Mistake("cookie-samesite", "proxy_cookie_flags ~ samesite=strict;"),
    "the cookie has no Secure": Mistake("cookie-secure", "proxy_cookie_flags ~ nosecure;"),
    "the cookie has no HttpOnly": Mistake("cookie-httponly", "proxy_cookie_flags ~ nohttponly;"),
    "the cookie has another Path": Mistake("cookie-path", "proxy_cookie_path / /shop;"),
    "the cookie has a Domain": Mistake(
        "cookie-domain", 'proxy_cookie_path / "/; Domain=localhost";'
    ),
    "the cookies are taken away": Mistake("cookie-lost", "proxy_hide_header Set-Cookie;"),
    "the cookies do not come back": Mistake("callback-cookies", 'proxy_set_header Cookie "";'),
    "the start is cached": Mistake("start-cached", CACHE),
    "the start may be cached": Mistake(
        "start-cacheable",
        'proxy_hide_header Cache-Control; add_header Cache-Control "max-age=60" always;',
    ),
    "the log holds the query": Mistake("log-leak", log_format="combined"),
    "the callback is refused": Mistake(
        "callback-failed",
        location="location / {{ proxy_pass {backend}; proxy_set_header Host $http_host; }} "
        "location /oauth/access_token {{ return 403; }}",
    ),
    "the start is refused": Mistake(
        "start-failed",
        location="location / {{ proxy_pass {backend}; }} "
        "location /oauth/request_token {{ return 403; }}",
    ),
    "another policy is on the page that closes": Mistake(
        "close-page-csp", "add_header Content-Security-Policy \"script-src 'nonce-abc'\" always;"
    ),
    "the page that closes is another": Mistake(
        "close-page",
        location="location / {{ proxy_pass {backend}; proxy_set_header Host $http_host; }} "
        "location ~ html$ {{ return 200 hello; }}",
    ),
    "the site is down": Mistake(
        "script-missing", location="location / {{ proxy_pass http://127.0.0.1:9; }}"
    ),
    "a password is asked for": Mistake("script-missing", location="location / {{ return 401; }}"),
}


def run(folder, mistake):
    """Check a site with a mistake, and return the report."""
    front = Front(folder)
    base_url = mistake.base_url or "{url}"
    if isinstance(base_url, str):
        base_url = base_url.format(url=front.url)
    flow = OAuth2("the-client-id", "the-client-secret")
    site = SCConnect(page_of_the_site, flow, secret_key=KEY, store_token=print, base_url=base_url)
    report = Report()
    with serve(site) as server:
        server_block = (
            mistake.location.format(backend=server.url, more=mistake.more)
            if mistake.location
            else pass_on(server.url, mistake.more)
        )
        with front.running(server_block, log_format=mistake.log_format):
            url = front.url + mistake.prefix
            check_sites([describe(site)], url, front.ca_bundle, report)
    return report


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_found_and_nothing_else(tmp_path, name):
    mistake = MISTAKES[name]
    report = run(tmp_path, mistake)
    expected = {mistake.code} - {""}
    assert {finding.code for finding in report.findings} == expected, report
    assert all(finding.mend for finding in report.findings)


def test_a_certificate_of_an_unknown_authority_is_named(tmp_path):
    front = Front(tmp_path)
    report = Report()
    site = SCConnect(
        page_of_the_site,
        OAuth2("the-client-id", "the-client-secret"),
        secret_key=KEY,
        store_token=print,
        base_url=front.url,
    )
    with front.running("return 404;"):
        check_sites([describe(site)], front.url, None, report)
    (finding,) = report.findings
    assert finding.code == "site-unreachable"
    assert "certificate" in finding.message
    assert "--ca-bundle" in finding.mend


WIRED = """
from scconnect_wsgi import OAuth2, OAuth2Provider, SCConnect

def page(environ, start_response):
    start_response("200 OK", [])
    return [b""]

provider = OAuth2Provider("{root}/authorize", "{root}/oauth/token", api_url="{root}")
flow = OAuth2("{client_id}", "{secret}", provider=provider)
app = SCConnect(page, flow, secret_key="{key}", store_token=print, base_url="{url}")
"""


@pytest.mark.parametrize(
    ("log_format", "secret", "found"),
    [
        ("path", CLIENT[1], []),
        ("combined", "another-secret", ["client-refused", "log-leak"]),
    ],
)
def test_the_command_finds_it(tmp_path, root, log_format, secret, found):
    front = Front(tmp_path)
    values = {"root": root, "key": KEY, "url": front.url, "client_id": CLIENT[0], "secret": secret}
    text = WIRED.format(**values)
    (tmp_path / "mysite.py").write_text(text, "utf-8")
    names: dict[str, Any] = {}
    exec(text, names)
    words = ["mysite:app", "--online", "--url", f"{front.url}/", "--ca-bundle", front.ca_bundle]
    with (
        serve(names["app"]) as server,
        front.running(pass_on(server.url), log_format=log_format),
    ):
        done = command("check", *words, "--json", folder=tmp_path)
    assert secret not in done.stdout + done.stderr
    report = json.loads(done.stdout)
    assert [finding["code"] for finding in report["findings"]] == found
    assert report["callback_urls"] == [f"{front.url}/oauth/access_token"]
    assert done.returncode == (1 if found else 0)
