"""The browser files as the middleware serves them.

Lines 22 and 34 of the list of threats, and RFC 9110.
"""

from __future__ import annotations

import gzip
import re
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from wsgiref.util import setup_testing_defaults
from wsgiref.validate import validator

import pytest
from support.browser import ARRIVAL
from support.flows import flow_for
from support.site import KEY, Store, page_of_the_site, running_site

import scconnect_wsgi
from scconnect_wsgi import SCConnect, errors
from scconnect_wsgi.middleware import _files
from scconnect_wsgi.middleware._files import FILES, BrowserFile, asset_folder

SCRIPT = "text/javascript; charset=utf-8"
PICTURE = "public, max-age=3600"
TABLE = {
    "sc-connect.js": (SCRIPT, "no-cache"),
    "close.js": (SCRIPT, "no-cache"),
    "close.html": ("text/html; charset=utf-8", "no-cache"),
    "sc-connect.css": ("text/css; charset=utf-8", "no-cache"),
    "button.css": ("text/css; charset=utf-8", "no-cache"),
    "sc-mark.svg": ("image/svg+xml", PICTURE),
    "sc-connect.png": ("image/png", PICTURE),
    "sc-connect@2x.png": ("image/png", PICTURE),
    "sc-connect.svg": ("image/svg+xml", PICTURE),
    "sc-connect-light.png": ("image/png", PICTURE),
    "sc-connect-light@2x.png": ("image/png", PICTURE),
    "sc-connect-light.svg": ("image/svg+xml", PICTURE),
    "sc-connect-dark.png": ("image/png", PICTURE),
    "sc-connect-dark@2x.png": ("image/png", PICTURE),
    "sc-connect-dark.svg": ("image/svg+xml", PICTURE),
    "sc-connect-small.png": ("image/png", PICTURE),
    "sc-connect-small@2x.png": ("image/png", PICTURE),
    "sc-connect-small.svg": ("image/svg+xml", PICTURE),
    "sc-disconnect.png": ("image/png", PICTURE),
    "sc-disconnect@2x.png": ("image/png", PICTURE),
    "sc-disconnect.svg": ("image/svg+xml", PICTURE),
}
PLAIN = {"Accept-Encoding": "identity"}


def from_above_the_assets(module):
    """Return the path of a module's file from the folder above the assets.

    That folder is the package if it is installed, and the checkout otherwise.
    """
    return Path(module.__file__).relative_to(asset_folder().parent).as_posix()


def as_served(name):
    """Return a file as it lies on the disk; of the script, without lines that hold only a comment.

    The first line is not indented, and stays.
    """
    body = (asset_folder() / name).read_bytes()
    if name != "sc-connect.js":
        return body
    return b"".join(
        line for line in body.splitlines(keepends=True) if not re.match(rb"\s+//", line)
    )


ERRORS = from_above_the_assets(errors)
SERVER_OF_FILES = from_above_the_assets(_files)
NOT_THERE = [
    "",
    "nothing.js",
    "page.html",
    "CLOSE.HTML",
    "close.html/",
    "close.html/x",
    "close.html~",
    "./close.html",
    f"../{ERRORS}",
    f"../{SERVER_OF_FILES}",
    "../../../../../../../../etc/passwd",
    "..",
    f"..%2f{ERRORS}",
    f"%2e%2e/{ERRORS}",
    f"%2e%2e%2f{ERRORS}",
    f"%252e%252e/{ERRORS}",
    f"..\\{ERRORS}",
    f"..%5c{ERRORS}",
    "close.html%00",
    "%00",
    "close.html%00.png",
    "/etc/passwd",
    "%2fetc%2fpasswd",
    "C:%5cboot.ini",
    "%ff",
    "close.html%0d%0aX-Evil:%201",
    "__init__.py",
    "%e2%80%ae",
    "close.html%20",
    f"....//{ERRORS}",
    "<script>alert(1)</script>",
    "a" * 5000,
]


@pytest.fixture(
    scope="module", params=["", "/shop/music"], ids=["at the root", "mounted under a prefix"]
)
def site(request):
    with running_site(flow_for("oauth2", "http://127.0.0.1:9"), prefix=request.param) as site:
        yield site


def fetch(browser, site, name, method="GET", **headers):
    return browser.session.request(
        method,
        f"{site.url}/sc-connect/{name}",
        headers={**PLAIN, **headers},
        allow_redirects=False,
        timeout=30,
    )


def raw(path, method="GET", **environ):
    """Send a request that no client would send."""
    flow = flow_for("oauth2", "http://127.0.0.1:9")
    app: Any = validator(SCConnect(page_of_the_site, flow, secret_key=KEY, store_token=Store()))
    environ |= {"PATH_INFO": path, "SCRIPT_NAME": "", "REQUEST_METHOD": method, "QUERY_STRING": ""}
    setup_testing_defaults(environ)
    seen = []
    answer = app(
        environ, lambda status, headers, exc_info=None: seen.append((status[:3], headers)) or bytes
    )
    body = b"".join(answer)
    answer.close()
    return *seen[-1], body


def assert_says_nothing_of_the_machine(text):
    for word in (
        str(asset_folder()),
        str(Path(scconnect_wsgi.__file__).parent),
        str(Path.cwd()),
        str(Path.home()),
    ):
        assert word not in text
    for word in (
        "errors.py",
        "_files.py",
        "site-packages",
        "Traceback",
        "passwd",
        "pyproject",
        "evil",
        "Evil",
        "alert",
    ):
        assert word not in text


@pytest.mark.threat(34)
def test_threat_34_the_table_is_what_is_served():
    assert FILES == TABLE
    assert list(FILES) == list(TABLE)


@pytest.mark.threat(34)
@pytest.mark.parametrize("name", TABLE)
def test_threat_34_every_file_of_the_table_is_served_as_it_lies_on_the_disk(site, browser, name):
    answer = fetch(browser, site, name)
    body = as_served(name)
    assert (answer.status_code, answer.content) == (200, body)
    assert (answer.headers["Content-Type"], answer.headers["Cache-Control"]) == TABLE[name]
    assert answer.headers["Content-Length"] == str(len(body))
    assert answer.headers["Vary"] == "Accept-Encoding"
    assert re.fullmatch('"[!#-~]+"', answer.headers["ETag"])


@pytest.mark.threat(34)
@pytest.mark.parametrize("name", [ERRORS, SERVER_OF_FILES])
def test_threat_34_what_the_paths_below_lead_to_is_there(name):
    assert (asset_folder() / ".." / name).is_file()


@pytest.mark.threat(34)
@pytest.mark.parametrize("name", NOT_THERE, ids=lambda name: ascii(name[:30]))
def test_threat_34_any_other_name_is_not_found_and_tells_nothing_of_the_machine(site, name):
    parts = urlsplit(site.url)
    connection = HTTPConnection(parts.hostname, parts.port, timeout=30)
    try:  # not requests, which tidies a path up before it sends it
        connection.putrequest("GET", f"{parts.path}/sc-connect/{name}", skip_accept_encoding=True)
        connection.endheaders()
        answer = connection.getresponse()
        text = answer.read().decode()
    finally:
        connection.close()
    assert answer.status == 404
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    assert "X-Evil" not in answer.headers
    assert_says_nothing_of_the_machine(text)
    assert "There is nothing at this address." in text


@pytest.mark.threat(34)
@pytest.mark.parametrize(
    "name", ["\x00", "\xff", "..\\x", f"../{ERRORS}", "\r\n", "close.html\x00", "\ud800"], ids=ascii
)
def test_threat_34_raw_bytes_in_the_name_are_not_found(name):
    status, headers, body = raw("/sc-connect/" + name)
    assert status == "404"
    assert not [value for _, value in headers if "\r" in value or "\n" in value]
    assert_says_nothing_of_the_machine(body.decode())


@pytest.mark.threat(34)
def test_threat_34_a_folder_that_only_begins_like_ours_is_the_applications(browser, site):
    for path in (
        "/sc-connect",
        "/blog/sc-connect/close.html",
        "/sc-connectx/close.html",
        "/SC-Connect/close.html",
        "/close.html",
    ):
        assert browser.get(site.url + path).text.startswith("the site's own page at"), path


@pytest.mark.threat(22)
@pytest.mark.parametrize(
    "query", ["", "?error=<script>alert(1)</script>", "?a=%00&a=%ff", "?" + "x" * 9000]
)
def test_threat_22_the_close_page_is_the_same_bytes_whatever_its_query(site, browser, query):
    answer = fetch(browser, site, "close.html" + query, **ARRIVAL)
    assert answer.status_code == 200
    assert answer.content == (asset_folder() / "close.html").read_bytes()


@pytest.mark.threat(22)
@pytest.mark.parametrize("headers", [{}, {"Accept-Encoding": "gzip"}], ids=["plain", "gzip"])
def test_threat_22_the_close_page_runs_our_script_alone_and_in_no_frame(site, browser, headers):
    answer = fetch(browser, site, "close.html", **headers)
    policy = dict(
        part.strip().split(" ", 1) for part in answer.headers["Content-Security-Policy"].split(";")
    )
    assert policy == {
        "default-src": "'none'",
        "script-src": "'self'",
        "style-src": "'self'",
        "img-src": "'self'",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
    }
    # It would separate the popup from its page
    assert "Cross-Origin-Opener-Policy" not in answer.headers
    assert not re.search(
        r"<script(?![^>]*\bsrc=)|\bon\w+=|style=|javascript:", answer.text, re.IGNORECASE
    )


@pytest.mark.threat(22)
@pytest.mark.parametrize("name", TABLE)
@pytest.mark.parametrize("how", ["GET", "HEAD", "POST", "304"])
def test_threat_22_every_answer_is_what_it_says_and_sends_no_referrer(site, browser, name, how):
    known = {"If-None-Match": "*"} if how == "304" else {}
    answer = fetch(browser, site, name, "GET" if how == "304" else how, **known)
    assert answer.status_code == {"POST": 405, "304": 304}.get(how, 200)
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert "Set-Cookie" not in answer.headers


@pytest.mark.parametrize("name", TABLE)
def test_head_says_what_get_says_without_the_body(site, browser, name):
    for encoding in ("identity", "gzip"):
        get = fetch(browser, site, name, **{"Accept-Encoding": encoding})
        head = fetch(browser, site, name, "HEAD", **{"Accept-Encoding": encoding})
        assert (head.status_code, head.content) == (200, b"")
        ours = {field: value for field, value in get.headers.items() if field != "Date"}
        assert {field: value for field, value in head.headers.items() if field != "Date"} == ours
    # Without a server between, which would drop a body
    assert raw(f"/sc-connect/{name}", "HEAD")[2] == b""


@pytest.mark.parametrize(
    ("path", "status"), [("/sc-connect/nothing", "404"), ("/oauth/request_token", "200")]
)
def test_head_of_a_page_of_ours_has_no_body(path, status):
    got, headers, body = raw(path, "HEAD")
    assert (got, body) == (status, b"")
    assert int(dict(headers)["Content-Length"]) > 0


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE"])
def test_other_methods_are_405_with_the_ones_that_work(site, browser, method):
    answer = fetch(browser, site, "sc-connect.js", method)
    assert (answer.status_code, answer.headers["Allow"]) == (405, "GET, HEAD")


MATCHING = [
    "{0}",
    "W/{0}",
    '"x", {0}',
    "{0}, {0}",
    'W/"x",W/{0} ,"y"',
    "*",
    "* ",
    '"x"  ,\t{0}',
    "{1}",
    "W/{1}",
]
DIFFERENT = ['"x"', 'W/"x"', "", "{0}x", "x{0}", '"*"', "w/{0}", '"x", "y"', ",", '{0}"']


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("known", MATCHING)
def test_a_file_that_is_known_is_304_without_a_body(site, browser, known, method):
    tags = tags_of(browser, site)
    answer = fetch(browser, site, "sc-connect.js", method, **{"If-None-Match": known.format(*tags)})
    assert (answer.status_code, answer.content) == (304, b"")
    assert answer.headers["ETag"] == tags[0]
    assert {"Cache-Control", "Vary"} <= set(answer.headers)
    assert not {"Content-Type", "Content-Encoding"} & set(answer.headers)
    headers = raw("/sc-connect/sc-connect.js", method, HTTP_IF_NONE_MATCH=known.format(*tags))[1]
    assert "Content-Length" not in dict(headers)  # wsgiref's server adds one of its own


@pytest.mark.parametrize("known", DIFFERENT)
def test_a_file_that_is_not_known_is_sent(site, browser, known):
    answer = fetch(
        browser, site, "sc-connect.js", **{"If-None-Match": known.format(*tags_of(browser, site))}
    )
    assert answer.status_code == 200
    assert answer.content == as_served("sc-connect.js")


def test_the_script_is_served_without_the_lines_that_only_explain_it(site, browser):
    served = fetch(browser, site, "sc-connect.js").content
    source = (asset_folder() / "sc-connect.js").read_bytes()
    assert served == as_served("sc-connect.js")
    assert len(served) < len(source)
    assert served.startswith(b'// "Connect with SoundCloud" in the browser. See docs/browser.md')
    assert served.count(b"\n  const ") == source.count(b"\n  const ")


def test_the_script_is_at_most_5_kb(site, browser):
    answer = fetch(browser, site, "sc-connect.js", **{"Accept-Encoding": "gzip"})
    assert int(answer.headers["Content-Length"]) <= 5 * 1024


def tags_of(browser, site):
    plain = fetch(browser, site, "sc-connect.js")
    zipped = fetch(browser, site, "sc-connect.js", **{"Accept-Encoding": "gzip"})
    return plain.headers["ETag"], zipped.headers["ETag"]


def test_plain_and_zipped_have_tags_of_their_own(site, browser):
    plain, zipped = tags_of(browser, site)
    assert plain != zipped


ZIPPED = [
    "gzip",
    "GZIP",
    "x-gzip",
    "*",
    "br, gzip;q=0.5",
    "gzip;q=1.0, identity;q=0.1",
    "gzip ; q=0.001",
    "*;q=0.1",
]
NOT_ZIPPED = [
    "identity",
    "",
    "gzip;q=0",
    "gzip;q=0.000",
    "gzip; Q=0, *",
    "*;q=0",
    "br",
    "gzip;q=none",
    "gzipx",
    ",;,",
    "gzip;q=0, *;q=1",
    "gzip;q=nan",
    "gzip;q=-1",
]


@pytest.mark.parametrize("accepted", ZIPPED)
def test_who_takes_gzip_gets_gzip(site, browser, accepted):
    answer = fetch(browser, site, "sc-connect.js", **{"Accept-Encoding": accepted})
    assert answer.headers["Content-Encoding"] == "gzip"
    assert answer.content == as_served("sc-connect.js")
    assert int(answer.headers["Content-Length"]) < len(answer.content)


@pytest.mark.parametrize("accepted", NOT_ZIPPED)
def test_who_does_not_take_gzip_gets_the_plain_file(site, browser, accepted):
    answer = fetch(browser, site, "sc-connect.js", **{"Accept-Encoding": accepted})
    assert "Content-Encoding" not in answer.headers
    assert answer.content == as_served("sc-connect.js")


def test_a_client_that_says_nothing_of_encodings_gets_the_plain_file():
    status, headers, body = raw("/sc-connect/sc-connect.js")
    assert (status, body) == ("200", as_served("sc-connect.js"))
    assert "Content-Encoding" not in dict(headers)


def test_what_gzip_makes_no_smaller_is_sent_as_it_is():
    environ = {"HTTP_ACCEPT_ENCODING": "gzip"}
    setup_testing_defaults(environ)
    for body, zipped in ((b"tiny", False), (b"long " * 1000, True)):
        seen = []
        answer = b"".join(
            BrowserFile(body, "text/plain", "no-cache")(
                environ, lambda *said, seen=seen: seen.append(said)
            )
        )
        assert ("Content-Encoding" in dict(seen[0][1])) == zipped
        assert (gzip.decompress(answer) if zipped else answer) == body


def test_headers_that_somebody_adds_do_not_reach_the_next_answer():
    for known in ({}, {"HTTP_IF_NONE_MATCH": "*"}):
        raw("/sc-connect/close.js", **known)[1].append(("X-Added", "1"))
        assert "X-Added" not in dict(raw("/sc-connect/close.js", **known)[1])
