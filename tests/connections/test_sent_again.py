"""A body that is sent again is sent as a whole: an open file is wound back to where it was.

Threat 56.
"""

import io
import tempfile
from dataclasses import replace

import pytest
from support.api import Once, Recorded
from support.flows import CLIENT, quick_transport
from support.stores import connection

from scconnect_wsgi import OAuth1, OAuth1Provider, OAuth2, OAuth2Provider
from scconnect_wsgi.connections._session import ApiSession
from scconnect_wsgi.sandbox import serve
from scconnect_wsgi.stores.sql import SQLStore
from scconnect_wsgi.token import AccessToken

pytestmark = pytest.mark.threat(56)

REFUSED = ("401 Unauthorized", {}, "{}")
CREATED = ("201 Created", {}, "{}")
FORM = "application/x-www-form-urlencoded"
BUSY = ("503 Unavailable", {"Retry-After": "1"}, "")
RENEWED = (
    "200 OK",
    {},
    '{"access_token": "new", "refresh_token": "the next one", "expires_in": 3600}',
)
OLD = AccessToken("old", refresh_token="a refresh token")


@pytest.fixture
def api():
    recorded = Recorded()
    with serve(recorded) as server:
        recorded.url = server.url
        recorded.say("/oauth/token", RENEWED)
        yield recorded


def session_at(api, store=None, token=OLD):
    provider = OAuth2Provider(f"{api.url}/a", f"{api.url}/oauth/token", api_url=api.url)
    flow = OAuth2(*CLIENT, provider=provider, transport=quick_transport())
    store = store or SQLStore("sqlite://")
    saved = store.save(connection(token=token, api_url=api.url))
    return ApiSession(saved, store, flow, sleep=lambda _: None)


def sent(api, path):
    return [one.body for one in api.asked if one.path == path]


def a_file(data):
    file = tempfile.TemporaryFile()  # noqa: SIM115  # the test closes it
    file.write(data)
    file.seek(0)
    return file


@pytest.fixture(params=[a_file, io.BytesIO], ids=["a file", "a file in memory"])
def opened(request):
    """A file whose first six bytes have been read already."""
    with request.param(b"headerRIFF and more") as file:
        file.seek(6)
        yield file


def test_a_file_is_wound_back_to_where_it_was(api, opened):
    api.say("/tracks", REFUSED, CREATED)
    api.say("/me", REFUSED)
    with session_at(api) as session:
        session.resend = True
        assert session.post("/tracks", data=opened).status_code == 201
    assert sent(api, "/tracks") == [b"RIFF and more"] * 2


def test_a_file_is_wound_back_for_a_token_that_somebody_else_got(api, opened):
    api.say("/tracks", REFUSED, CREATED)
    store = SQLStore("sqlite://")
    with session_at(api, store) as session:
        session.resend = True
        store.save(replace(session.connection, token=AccessToken("the newer one")))
        assert session.put("/tracks", data=opened).status_code == 201
    assert sent(api, "/tracks") == [b"RIFF and more"] * 2


@pytest.mark.parametrize("status", ["307 Temporary", "308 Permanent"])
def test_a_file_is_wound_back_for_a_redirect(api, opened, status):
    api.say("/tracks", (status, {"Location": "/uploads"}, ""))
    with session_at(api) as session:
        session.resend = True
        assert session.post("/tracks", data=opened).status_code == 200
    assert sent(api, "/tracks") + sent(api, "/uploads") == [b"RIFF and more"] * 2


def test_a_file_is_wound_back_after_a_redirect_whose_target_refuses(api, opened):
    api.say("/tracks", ("307 Temporary", {"Location": "/uploads"}, ""))
    api.say("/uploads", REFUSED, CREATED)
    api.say("/me", REFUSED)
    with session_at(api) as session:
        session.resend = True
        assert session.post("/tracks", data=opened).status_code == 201
    assert sent(api, "/uploads") == [b"RIFF and more"] * 2


def test_a_get_with_a_file_is_safe_to_send_again(api, opened):
    api.say("/search", BUSY, REFUSED, ("200 OK", {}, "{}"))
    api.say("/me", REFUSED)
    with session_at(api) as session:
        assert session.get("/search", data=opened).status_code == 200
    assert sent(api, "/search") == [b"RIFF and more"] * 3


def test_without_permission_a_file_is_sent_once(api, opened):
    api.say("/tracks", REFUSED, CREATED)
    api.say("/me", REFUSED, ("200 OK", {}, "{}"))
    with session_at(api) as session:
        assert session.post("/tracks", data=opened).status_code == 401
    assert sent(api, "/tracks") == [b"RIFF and more"]


class Unseekable(io.BytesIO):
    """A file that says where it is, but cannot seek."""

    def __len__(self):
        return len(self.getvalue())

    def seekable(self):
        return False

    def seek(self, *_):
        raise io.UnsupportedOperation("seek")


@pytest.mark.parametrize("body", [Once, Unseekable])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_what_cannot_be_wound_back_is_sent_once(api, body, method):
    api.say("/tracks", REFUSED, CREATED)
    api.say("/me", REFUSED, ("200 OK", {}, "{}"))
    with session_at(api) as session:
        session.resend = True
        assert session.request(method, "/tracks", data=body(b"RIFF")).status_code == 401
    assert sent(api, "/tracks") == [b"RIFF"]


class ClosedAfterwards(io.BytesIO):
    """A file that is closed once it has been read to its end."""

    def read(self, *size):
        data = super().read(*size)
        if not data:
            self.close()
        return data


def test_a_file_that_was_closed_is_sent_once(api):
    api.say("/tracks", REFUSED, CREATED)
    api.say("/me", REFUSED, ("200 OK", {}, "{}"))
    with session_at(api) as session:
        session.resend = True
        assert session.post("/tracks", data=ClosedAfterwards(b"RIFF")).status_code == 401
    assert sent(api, "/tracks") == [b"RIFF"]


def test_a_file_under_oauth1_is_sent_and_not_signed(api):
    """Its form is not signed either, because that would take reading it first."""
    provider = OAuth1Provider(f"{api.url}/r", f"{api.url}/a", f"{api.url}/t", api_url=api.url)
    flow = OAuth1(*CLIENT, provider=provider, transport=quick_transport())
    store = SQLStore("sqlite://")
    token = AccessToken("t", token_secret="s")
    saved = store.save(connection(token=token, api_url=api.url))
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    with ApiSession(saved, store, flow) as session:
        for headers in ({}, form):
            body = io.BytesIO(b"title=a")
            assert session.post("/tracks", data=body, headers=headers).status_code == 200
    assert sent(api, "/tracks") == [b"title=a"] * 2


@pytest.mark.parametrize("body", [b"title=\xe9", b"\xff\xfe", b"\0"])
@pytest.mark.parametrize("content_type", [FORM, FORM.encode()])
def test_a_form_that_is_none_is_sent_as_it_is(api, body, content_type):
    with session_at(api) as session:
        session.post("/tracks", data=body, headers={"Content-Type": content_type})
    assert sent(api, "/tracks") == [body]
