"""Who is answered by the endpoints for the page, and in which forms they may be asked."""

import io
import json
import socket
from contextlib import closing
from types import SimpleNamespace
from urllib.parse import urlsplit
from wsgiref.util import setup_testing_defaults

import pytest
import requests
from support.flows import flow_for
from support.site import KEY, page_of_the_site
from support.stores import connection

from scconnect_wsgi import SCConnect
from scconnect_wsgi.connections import Connections
from scconnect_wsgi.connections._body import MAX_BODY
from scconnect_wsgi.errors import ConfigurationError
from scconnect_wsgi.sandbox import serve
from scconnect_wsgi.stores.sql import SQLStore

ROOT = "https://app.example"
ID = "the-id_of-a-connection"
HERE = {"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors"}
FORM = b"oauth_token_id=" + ID.encode()


@pytest.fixture
def store():
    with closing(SQLStore("sqlite://")) as store:
        yield store


@pytest.fixture
def connections(store):
    flow = flow_for("oauth2", "http://localhost:9", sign_out_url=None)  # nobody is asked
    store.save(connection(ID, user="u", api_url=flow.provider.api_url))
    return Connections(flow, store, identify=lambda request: "u")


def ask(application, headers, *, body=None, host="app.example", scheme="https", **environ):
    """Return the answer of an endpoint: of ``disconnect`` if there is a body."""
    asked = {"HTTP_HOST": host, "wsgi.url_scheme": scheme}
    setup_testing_defaults(asked)
    asked["PATH_INFO"] = "/sc-connect/connections.json"
    if body is not None:
        asked |= {
            "PATH_INFO": "/sc-connect/disconnect",
            "REQUEST_METHOD": "POST",
            "CONTENT_LENGTH": str(len(body)),
            "CONTENT_TYPE": "application/x-www-form-urlencoded",
            "wsgi.input": io.BytesIO(body),
        }
    asked |= {f"HTTP_{name.upper().replace('-', '_')}": value for name, value in headers.items()}
    asked |= environ
    answer = SimpleNamespace(status=0)

    def start_response(status, headers, exc_info=None):
        answer.status = int(status.partition(" ")[0])

    answer.json = json.loads(b"".join(application({**asked}, start_response)))
    return answer


SAFARI = "a browser without Fetch Metadata"
WORKER = {"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Dest": "empty"}
ORIGINS = [  # headers, whether it may read, and whether it may write, if the site is ROOT
    (HERE, True, True),
    ({**HERE, "Origin": ROOT}, True, True),
    ({**HERE, "Referer": f"{ROOT}/account"}, True, True),
    ({**HERE, "Origin": "null"}, False, False),
    ({**HERE, "Origin": "https://evil.example"}, False, False),
    ({**HERE, "Referer": "https://evil.example/"}, False, False),
    ({"Origin": ROOT}, True, True),
    ({"Origin": f"{ROOT}:443"}, True, True),
    ({"Origin": "HTTPS://APP.EXAMPLE"}, True, True),
    ({"Referer": f"{ROOT}/account?x=1"}, True, True),
    ({"Referer": ROOT, "Origin": ROOT}, True, True),
    ({}, True, False),
    ({"Origin": "null"}, False, False),
    ({"Origin": "null", "Referer": f"{ROOT}/"}, False, False),
    ({"Origin": "http://app.example"}, False, False),
    ({"Origin": "http://app.example:443"}, False, False),
    ({"Referer": "http://app.example/"}, False, False),
    ({"Origin": f"{ROOT}:8443"}, False, False),
    ({"Origin": f"{ROOT}."}, False, False),
    ({"Origin": "https://app.example.evil.example"}, False, False),
    ({"Origin": "https://user@app.example.evil.example"}, False, False),
    ({"Origin": "https://evil.example#app.example"}, False, False),
    ({"Origin": "https://evil.example", "Referer": f"{ROOT}/"}, False, False),
    ({"Origin": ROOT, "Referer": "https://evil.example/"}, False, False),
    ({"Origin": "app.example"}, False, False),
    ({"Origin": "//app.example"}, False, False),
    ({"Origin": "https://"}, False, False),
    ({"Origin": "https://[app.example"}, False, False),
    ({"Origin": "https://app.example:x"}, False, False),
    ({"Origin": "file://"}, False, False),
    ({"Sec-Fetch-Site": "cross-site", "Origin": ROOT}, False, False),
    ({"Sec-Fetch-Site": "same-site", "Origin": ROOT}, False, False),
    ({"Sec-Fetch-Site": "none"}, False, False),
    ({"Sec-Fetch-Site": ""}, False, False),
    # What a service worker of the site has passed on: a form of another site, or a script's fetch
    ({**WORKER, "Sec-Fetch-Mode": "navigate"}, False, False),
    ({**WORKER, "Sec-Fetch-Mode": "same-origin"}, False, False),
    ({**WORKER, "Sec-Fetch-Mode": "same-origin", "Origin": "null"}, False, False),
    (
        {**WORKER, "Sec-Fetch-Mode": "navigate", "Referer": "https://evil.example/"},
        False,
        False,
    ),
    ({**WORKER, "Sec-Fetch-Mode": "same-origin", "Referer": f"{ROOT}/account"}, True, True),
]
HOSTS = {
    "the site's own": {},
    "behind a proxy that rewrites Host": {"host": "10.0.0.7:8000", "scheme": "http"},
    "behind a proxy that ends TLS": {"scheme": "http"},
    "with a default port": {"host": "app.example:443"},
    "an attacker's": {"host": "evil.example"},
    "one that cannot be read": {"host": "[evil"},
}


@pytest.mark.parametrize(("headers", "reads", "writes"), ORIGINS, ids=repr)
@pytest.mark.parametrize("host", HOSTS)
def test_only_pages_of_the_base_url_are_answered(connections, store, headers, reads, writes, host):
    application = connections.serving(page_of_the_site, base_url=f"{ROOT}/shop/")
    read = ask(application, headers, **HOSTS[host])
    assert read.status == (200 if reads else 403)
    if not reads:
        assert read.json == {"error": f"Only a page of {ROOT} may do that."}
    assert ask(application, headers, body=FORM, **HOSTS[host]).status == (200 if writes else 403)
    assert len(store.of_user("u")) == (0 if writes else 1)


@pytest.mark.parametrize(("headers", "reads", "writes"), ORIGINS, ids=repr)
@pytest.mark.parametrize("host", ["the site's own", "behind a proxy that ends TLS"])
def test_without_a_base_url_the_host_says_which_pages_are_the_sites(
    connections, headers, reads, writes, host
):
    if headers.get("Sec-Fetch-Mode") == "cors" and headers.get("Origin") != "null":
        reads = writes = True  # Fetch Metadata alone decides
    application = connections.serving(page_of_the_site)
    assert ask(application, headers, **HOSTS[host]).status == (200 if reads else 403)
    answer = ask(application, headers, body=FORM, **HOSTS[host])
    assert answer.status == (200 if writes else 403)


@pytest.mark.parametrize(
    ("headers", "options", "hint"),
    [
        ({}, {"base_url": ROOT}, f"Only a page of {ROOT} may do that. The request has no Origin"),
        ({}, {}, "Only a page of this site may do that. The request has no Origin"),
        ({"Origin": "https://www.example"}, {}, "set base_url"),
    ],
)
def test_a_403_says_what_the_request_lacks(connections, headers, options, hint):
    application = connections.serving(page_of_the_site, **options)
    answer = ask(application, headers, body=FORM, **HOSTS["the site's own"])
    assert answer.status == 403
    assert hint in answer.json["error"]


@pytest.mark.parametrize(
    ("host", "origin", "may"),
    [
        ("localhost:8000", "http://localhost:8000", True),
        ("127.0.0.1", "http://127.0.0.1", True),
        ("[::1]:8000", "http://[::1]:8000", True),
        ("localhost:8000", "http://localhost:8001", False),
        ("localhost:8000", "http://127.0.0.1:8000", False),
        ("app.example", "http://app.example", False),
        ("app.example:80", "http://app.example", False),
        ("", "null", False),
        ("", "https://", False),
        ("[evil", "http://[evil", False),
    ],
)
def test_without_a_base_url_plain_http_is_for_loopback_hosts(connections, host, origin, may):
    application = connections.serving(page_of_the_site)
    answer = ask(application, {"Origin": origin}, body=FORM, host=host, scheme="http")
    assert answer.status == (200 if may else 403)


@pytest.mark.parametrize("base_url", ["app.example", "http://app.example", f"{ROOT}?x=1", 7, ""])
def test_a_base_url_that_cannot_work_is_refused(connections, base_url):
    with pytest.raises(ConfigurationError) as caught:
        connections.serving(page_of_the_site, base_url=base_url)
    assert caught.value.option == "base_url"


def multipart(*parts, boundary="----WebKitFormBoundary7MA4YWxkTrZu0gW", end="--\r\n"):
    """Return a FormData as browsers write it."""
    written = [f"--{boundary}\r\nContent-Disposition: form-data; {part}\r\n" for part in parts]
    return "".join([*written, f"--{boundary}{end}"]).encode()


FIELD = f'name="oauth_token_id"\r\n\r\n{ID}'
MULTIPART = "multipart/form-data; boundary=----WebKitFormBoundary7MA4YWxkTrZu0gW"
JSON = "application/json"
BODIES = {
    "URLSearchParams": ("application/x-www-form-urlencoded;charset=UTF-8", FORM),
    "a string": ("text/plain;charset=UTF-8", FORM),
    "without a type": ("", FORM),
    "with another field": ("application/x-www-form-urlencoded", b"a=b&" + FORM),
    "encoded": (
        "application/x-www-form-urlencoded",
        b"oauth%5ftoken_id=" + "".join(f"%{ord(letter):02x}" for letter in ID).encode(),
    ),
    "FormData": (MULTIPART, multipart(FIELD)),
    "FormData with others": (
        MULTIPART,
        multipart('name="csrf"\r\n\r\nx', FIELD, 'name="f"; filename="a.txt"\r\n\r\nbytes'),
    ),
    "FormData in capitals": (MULTIPART.replace("multipart", "Multipart"), multipart(FIELD)),
    "FormData with a quoted boundary": (
        'multipart/form-data; charset=utf-8; boundary="a b"',
        multipart(FIELD, boundary="a b"),
    ),
    "JSON": (JSON, json.dumps({"oauth_token_id": ID}).encode()),
    "JSON with a charset": (f"{JSON}; charset=utf-8", json.dumps({"oauth_token_id": ID}).encode()),
    "JSON in UTF-16": (JSON, json.dumps({"oauth_token_id": ID}).encode("utf-16")),
    "JSON with a mark": (JSON, json.dumps({"oauth_token_id": ID}).encode("utf-8-sig")),
}
BAD = {
    "nothing": ("", b""),
    "another field": ("", b"id=" + FORM),
    "an empty id": ("", b"oauth_token_id="),
    "twice": ("", FORM + b"&" + FORM),
    "not ASCII": ("", b"oauth_token_id=\xff"),
    "not UTF-8": ("", b"oauth_token_id=%ff"),
    "a NUL": ("", b"oauth_token_id=%00"),
    "too many fields": ("", b"&".join(b"%d=" % number for number in range(101)) + b"&" + FORM),
    "too long": ("", FORM + b"&a=" + b"x" * MAX_BODY),
    "XML": ("application/xml", b"<oauth_token_id/>"),
    "bytes": ("application/octet-stream", FORM),
    "FormData that is a form": (MULTIPART, FORM),
    "FormData without a boundary": ("multipart/form-data", multipart(FIELD)),
    "FormData with another boundary": ("multipart/form-data; boundary=x", multipart(FIELD)),
    "FormData without an end": (MULTIPART, multipart(FIELD, end="\r\n")),
    "FormData that is cut off": (MULTIPART, multipart(FIELD)[:-20]),
    "FormData without the field": (MULTIPART, multipart('name="other"\r\n\r\nx')),
    "FormData without fields": (MULTIPART, multipart()),
    "FormData, twice": (MULTIPART, multipart(FIELD, FIELD)),
    "FormData in FormData": (
        MULTIPART,
        multipart(
            'name="oauth_token_id"\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n'
            f"--b\r\n\r\n{ID}\r\n--b--"
        ),
    ),
    "FormData that is not UTF-8": (MULTIPART, multipart(FIELD).replace(ID.encode(), b"\xff")),
    "FormData with a codec of names": (
        MULTIPART,
        multipart("name*0*=idna''%ff"),
    ),
    "FormData with a codec of host names": (
        MULTIPART,
        multipart("name*0*=idna''oauth_;name*1*=%74oken_id"),
    ),
    "another multipart": (MULTIPART.replace("form-data", "mixed"), multipart(FIELD)),
    "JSON that is a form": (JSON, FORM),
    "JSON that is cut off": (JSON, b'{"oauth_token_id": "the-i'),
    "JSON that is a list": (JSON, b'["oauth_token_id"]'),
    "JSON that is a text": (JSON, json.dumps(ID).encode()),
    "JSON null": (JSON, b"null"),
    "JSON without the field": (JSON, b"{}"),
    "JSON with a number": (JSON, b'{"oauth_token_id": 7}'),
    "JSON with null": (JSON, b'{"oauth_token_id": null}'),
    "JSON with a list": (JSON, json.dumps({"oauth_token_id": [ID]}).encode()),
    "deep JSON": (JSON, b"[" * MAX_BODY),
    "a long number in JSON": (JSON, b"9" * MAX_BODY),
    "JSON in bytes that are none": (JSON, b"\xff\xfe\x00"),
}


@pytest.mark.parametrize("name", BODIES)
def test_an_id_may_come_as_a_form_as_formdata_and_as_json(connections, store, name):
    content_type, body = BODIES[name]
    application = connections.serving(page_of_the_site, base_url=ROOT)
    answer = ask(application, HERE, body=body, CONTENT_TYPE=content_type)
    assert (answer.status, answer.json) == (200, {"connected": False, "connections": []})
    assert store.of_user("u") == []


@pytest.mark.parametrize("name", BAD)
def test_a_body_that_cannot_be_read_is_a_400(connections, store, name):
    content_type, body = BAD[name]
    application = connections.serving(page_of_the_site, base_url=ROOT)
    answer = ask(application, HERE, body=body, CONTENT_TYPE=content_type)
    assert (answer.status, set(answer.json)) == (400, {"error"})
    assert len(store.of_user("u")) == 1


@pytest.mark.parametrize("id", ["\u2603", "a b", "x" * 4000, "../x", "other", "None", "\ud83d"])
def test_an_id_that_none_of_ours_can_be_is_a_404(connections, store, id):
    application = connections.serving(page_of_the_site, base_url=ROOT)
    body = json.dumps({"oauth_token_id": id}).encode()
    assert ask(application, HERE, body=body[:MAX_BODY], CONTENT_TYPE=JSON).status == 404
    assert len(store.of_user("u")) == 1


@pytest.mark.parametrize(
    "length",
    [
        "-1",
        "+38",
        "38.0",
        " 38",
        "x",
        "\N{ARABIC-INDIC DIGIT ONE}",
        "39",
        "4096",
        "4097",
        "9" * 5000,
    ],
)
def test_a_content_length_that_is_not_that_of_the_body_is_a_400(connections, store, length):
    application = connections.serving(page_of_the_site, base_url=ROOT)
    answer = ask(application, HERE, body=FORM, CONTENT_LENGTH=length)
    assert answer.status == 400
    assert len(store.of_user("u")) == 1


class Unreadable(io.RawIOBase):
    """What a server gives for a body whose browser has hung up."""

    def __init__(self, error):
        self.error = error

    def read(self, size=-1):
        raise self.error


class Endless(io.RawIOBase):
    def __init__(self):
        self.given = 0

    def read(self, size=-1):
        assert size > 0
        self.given += size
        return b"x" * size


class Short(io.BytesIO):
    """Gives a few bytes at a time, as some servers do."""

    def read(self, size=-1):
        return super().read(min(size, 5))


@pytest.mark.parametrize("error", [OSError("gone"), TimeoutError(), ValueError("a bad chunk")])
def test_a_browser_that_hangs_up_is_a_400(connections, store, error):
    application = connections.serving(page_of_the_site, base_url=ROOT)
    answer = ask(application, HERE, body=FORM, **{"wsgi.input": Unreadable(error)})
    assert (answer.status, answer.json) == (400, {"error": "The body was cut off."})
    assert len(store.of_user("u")) == 1


def test_a_chunked_body_is_read_if_the_server_knows_its_end(connections, store):
    application = connections.serving(page_of_the_site, base_url=ROOT)
    chunked = {"CONTENT_LENGTH": "", "wsgi.input_terminated": True}
    endless = Endless()
    answer = ask(application, HERE, body=FORM, **chunked, **{"wsgi.input": endless})
    assert answer.status == 400
    assert endless.given <= MAX_BODY + 1
    unknown = ask(application, HERE, body=FORM, CONTENT_LENGTH="")
    assert unknown.status == 400
    assert ask(application, HERE, body=FORM, **chunked).status == 200
    assert store.of_user("u") == []


def test_a_body_that_comes_in_pieces_is_read_to_its_end(connections, store):
    application = connections.serving(page_of_the_site, base_url=ROOT)
    assert ask(application, HERE, body=FORM, **{"wsgi.input": Short(FORM)}).status == 200
    assert store.of_user("u") == []


def test_over_a_socket_too_a_body_that_is_cut_off_changes_nothing(connections, store):
    with serve(connections.serving(page_of_the_site)) as server:
        url = urlsplit(server.url)
        head = (
            f"POST /sc-connect/disconnect HTTP/1.1\r\nHost: {url.netloc}\r\n"
            "Sec-Fetch-Site: same-origin\r\nContent-Length: 100\r\n\r\n"
        )
        with socket.create_connection((url.hostname, url.port), timeout=10) as browser:
            browser.sendall(head.encode() + FORM)
            browser.shutdown(socket.SHUT_WR)
            assert b" 400 " in browser.makefile("rb").readline()
        assert len(store.of_user("u")) == 1
        answer = requests.post(
            f"{server.url}/sc-connect/disconnect",
            files={"oauth_token_id": (None, ID)},
            headers=HERE,
            timeout=10,
        )
        assert (answer.status_code, store.of_user("u")) == (200, [])


@pytest.mark.parametrize("path", ["connections.json", "disconnect"])
def test_serving_inside_of_sc_connect_is_told_apart_from_a_wrong_address(
    connections, path, browser
):
    """SCConnect answers every address below its files, so these two never reach it."""
    application = SCConnect(
        connections.serving(page_of_the_site),
        connections._flow,
        secret_key=KEY,
        store_token=connections.store_token,
        identify=connections._identify,
    )
    with serve(application) as server:
        answer = browser.get(f"{server.url}/sc-connect/{path}")
    assert answer.status_code == 404
    assert "connections.serving(SCConnect(...))" in answer.text
