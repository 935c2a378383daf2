"""The sandbox's API beside SoundCloud's description of its own, over real sockets."""

import io
import socket
from urllib.parse import urlsplit

import pytest
import requests
from requests_oauthlib import OAuth1
from support import description
from support.browser import Browser
from support.description import collection, differences
from support.flows import CALLBACK, CLIENT, flow_for
from support.responses import query

pytestmark = pytest.mark.slow

AUDIO = b"RIFF" + bytes(176_400)  # one second
FORM = "application/x-www-form-urlencoded"
CHARSET = (
    b'--b\r\nContent-Disposition: form-data; name="track[title]"\r\n'
    b"Content-Type: text/plain; charset=utf-99\r\n\r\nx\r\n--b--\r\n"
)


def sent(body, content_type):
    return {"data": body, "headers": {"Content-Type": content_type}}


class Caller:
    """Call the API at ``root`` as one user."""

    def __init__(self, root, username="joe", protocol="oauth2"):
        self.root = root
        flow = flow_for(protocol, root)
        departure = flow.begin(CALLBACK)
        with Browser() as browser:
            back = query(browser.decide(departure.authorize_url, user=username))
        token = flow.finish(CALLBACK, back, departure.pending)
        self.session = requests.Session()
        self.session.trust_env = False
        if protocol == "oauth1":
            self.session.auth = OAuth1(*CLIENT, token.token, token.token_secret)
        else:
            self.session.headers["Authorization"] = f"OAuth {token.token}"

    def get(self, path, **params):
        return self("GET", path, params=params)

    def upload(self, audio=AUDIO, prefix="", **fields):
        given = {"title": "A new one", **fields}
        return self(
            "POST",
            f"{prefix}/tracks",
            data={f"track[{name}]": value for name, value in given.items()},
            files={"track[asset_data]": ("new.wav", io.BytesIO(audio), "audio/wav")},
        )

    def __call__(self, method, path, **options):
        address = f"{self.root}{path}"
        return self.session.request(method, address, timeout=20, allow_redirects=False, **options)


@pytest.fixture
def joe(root):
    caller = Caller(root)
    yield caller
    caller.session.close()


@pytest.fixture
def ann(root):
    caller = Caller(root, "ann")
    yield caller
    caller.session.close()


def tracks_of(caller):
    return caller.get("/me/tracks").json()


def one(caller, sharing):
    return next(track for track in tracks_of(caller) if track["sharing"] == sharing)


# What it answers has the fields and types of the description


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/me", description.ME),
        ("/users/soundcloud:users:743372813", description.USER),
        ("/users/743372813", description.USER),
        ("/me/tracks", [description.TRACK]),
        ("/me/tracks?linked_partitioning=true", collection(description.TRACK)),
        ("/me/likes/tracks", [description.TRACK]),
        ("/me/likes/tracks?linked_partitioning=true&limit=1", collection(description.TRACK)),
        ("/me/playlists", [description.PLAYLIST]),
        ("/me/playlists?linked_partitioning=true&limit=1", collection(description.PLAYLIST)),
        ("/me/playlists?show_tracks=false", [description.PLAYLIST]),
        ("/tracks/soundcloud:tracks:1001", description.TRACK),
        ("/tracks/soundcloud:tracks:1001/streams", description.STREAMS),
        ("/playlists/soundcloud:playlists:2001", description.PLAYLIST),
        ("/resolve?url=https://soundcloud.com/joe", description.FOUND),
        ("/misbehave/unverified/me", description.ME),
        ("/misbehave/quota/me", description.ME),
    ],
)
def test_an_answer_is_as_described(joe, path, kind):
    answer = joe.get(path)
    assert answer.status_code == (302 if "resolve" in path else 200)
    assert differences(answer.json(), kind) == []
    assert answer.json()


def test_an_upload_is_answered_as_described(joe):
    answer = joe.upload(release_date="2026-11-27", downloadable="true", genre="Field")
    assert answer.status_code == 201
    assert differences(answer.json(), description.TRACK) == []


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/misbehave/unauthorized/me", 401),
        ("POST", "/misbehave/unverified/tracks", 401),
        ("GET", "/misbehave/status=403/me/tracks", 403),
        ("GET", "/tracks/soundcloud:tracks:9", 404),
        ("GET", "/tracks/none", 404),
        ("GET", "/tracks/soundcloud:users:1001", 404),
        ("GET", f"/tracks/{'9' * 400}", 404),
        ("GET", "/tracks/soundcloud:tracks:9/streams", 404),
        ("GET", "/playlists/9", 404),
        ("GET", "/users/soundcloud:users:9", 404),
        ("GET", "/resolve?url=https://soundcloud.com/nobody", 404),
        ("GET", "/resolve?url=https://elsewhere.example/joe", 404),
        ("GET", "/resolve?url=https://[", 404),
        ("GET", "/resolve", 400),
        ("GET", "/me/nothing", 404),
        ("GET", "/me/tracks?limit=many", 400),
        ("DELETE", "/me", 405),
        ("POST", "/tracks", 422),
        ("POST", "/misbehave/quota/tracks", 422),
        ("GET", "/misbehave/429=3/me/likes/tracks", 429),
        ("GET", "/misbehave/status/me", 500),
        ("GET", "/misbehave/status=599/me", 599),
    ],
)
def test_an_error_has_the_shape_of_soundclouds(joe, method, path, status):
    answer = joe(method, path)
    assert answer.status_code == status
    assert differences(answer.json(), description.ERROR) == []
    assert answer.json().keys() == description.ERROR.keys()
    assert answer.json()["code"] == status
    assert answer.headers.get("Retry-After") == ("3" if status == 429 else None)


@pytest.mark.parametrize(
    "path", ["/me", "/me/likes/tracks", "/tracks/1001", "/users/743372812", "/resolve?url=x"]
)
def test_nothing_is_answered_without_a_token(root, path):
    answer = requests.get(f"{root}{path}", timeout=10)
    assert answer.status_code == 401
    assert differences(answer.json(), description.ERROR) == []


# What it does


def test_a_private_track_is_seen_by_its_owner_only(joe, ann):
    hidden = one(joe, "private")["urn"]
    for path in (f"/tracks/{hidden}", f"/tracks/{hidden}/streams"):
        assert (joe.get(path).status_code, ann.get(path).status_code) == (200, 404)
    shown = one(joe, "public")
    assert ann.get(f"/tracks/{shown['urn']}").json()["title"] == shown["title"]
    assert "secret_uri" not in ann.get(f"/tracks/{shown['urn']}").json()
    assert [each["sharing"] for each in joe.get("/me/playlists").json()] == ["public", "private"]
    assert ann.get("/playlists/2002").status_code == 404
    # ann's own playlist holds a private track, which others do not find in it
    assert len(ann.get("/playlists/2003").json()["tracks"]) == 2
    assert len(joe.get("/playlists/2003").json()["tracks"]) == 1


@pytest.mark.parametrize("path", ["/me/tracks", "/me/likes/tracks", "/me/playlists"])
def test_a_collection_comes_in_pages(joe, path):
    every = joe.get(path).json()
    address = f"{path}?linked_partitioning=true&limit=1"
    found = []
    while address:
        page = joe.get(address).json()
        found += page["collection"]
        following = page["next_href"]
        address = following and following.removeprefix(joe.root)
    assert found == every
    assert len(every) > 1


def test_an_address_is_resolved_by_a_redirect_with_a_body(joe, ann):
    track = one(joe, "public")
    playlist = joe.get("/me/playlists").json()[0]
    for address, path in (
        ("https://soundcloud.com/ann", "/users/soundcloud:users:743372813"),
        ("http://www.soundcloud.com/ann/", "/users/soundcloud:users:743372813"),
        (track["permalink_url"], f"/tracks/{track['urn']}"),
        (playlist["permalink_url"], f"/playlists/{playlist['urn']}"),
    ):
        answer = joe.get("/resolve", url=address)
        assert answer.status_code == 302
        assert answer.headers["Location"] == answer.json()["location"] == f"{joe.root}{path}"
        assert joe.get(path).status_code == 200
    assert ann.get("/resolve", url=one(joe, "private")["permalink_url"]).status_code == 404


def test_an_upload_is_found_again(joe, ann):
    answer = joe.upload(sharing="private", permalink="new-one", description="d\xe9j\xe0 vu").json()
    urn = answer["urn"]
    assert joe.get(f"/tracks/{urn}").json() == answer == tracks_of(joe)[-1]
    assert (answer["title"], answer["sharing"], answer["duration"]) == (
        "A new one",
        "private",
        1000,
    )
    assert (answer["description"], answer["user"]["username"]) == ("d\xe9j\xe0 vu", "joe")
    assert answer["permalink_url"] == "https://soundcloud.com/joe/new-one"
    assert joe.get("/me").json()["private_tracks_count"] == 3
    assert ann.get(f"/tracks/{urn}").status_code == 404


def test_an_upload_of_any_text_is_measured(joe):
    uploaded = joe("POST", "/tracks", json={"track": {"title": "x", "asset_data": "\ud800"}})
    assert uploaded.status_code == 201


def test_an_upload_may_be_json(joe):
    track = {"title": "From JSON", "asset_data": "a text in place of audio", "genre": None}
    answer = joe("POST", "/tracks", json={"track": track})
    assert (answer.status_code, answer.json()["title"]) == (201, "From JSON")


@pytest.mark.parametrize(
    ("options", "status"),
    [
        ({"json": {"track": {"title": "No audio"}}}, 422),
        ({"json": {"track": {"title": "", "asset_data": "x"}}}, 422),
        ({"json": {"track": {"title": 1, "asset_data": "x"}}}, 422),
        ({"json": {"track": {"title": "\ud800", "asset_data": "x"}}}, 400),
        ({"json": {"track": {"title": "x", "asset_data": "x", "genre": "\udfff"}}}, 400),
        ({"json": {"track": {"title": "x", "asset_data": 1}}}, 422),
        ({"json": {"track": {"title": "x", "asset_data": "x", "sharing": "all"}}}, 422),
        ({"json": {"track": {"title": "x", "asset_data": "x", "license": ["cc-by"]}}}, 422),
        ({"json": {"track": {"title": "x", "asset_data": "x", "release_date": "1st"}}}, 422),
        ({"json": {"track": []}}, 400),
        ({"json": []}, 400),
        (sent(b"{}", "application/json; charset=utf-99"), 400),
        (sent(b"track[title]=x", f"{FORM}; charset=latin-1"), 400),
        (
            sent(b"--b\r\n%s\r\n\r\n--b--" % (b"A" * 200_000), "multipart/form-data; boundary=b"),
            422,
        ),
        (sent(CHARSET, "multipart/form-data; boundary=b"), 400),
        ({"data": b"{", "headers": {"Content-Type": "application/json"}}, 400),
        ({"data": b"--", "headers": {"Content-Type": "multipart/form-data"}}, 400),
        ({"data": {"track[title]": "x"}}, 422),
        ({"files": {"track[asset_data]": ("a.wav", AUDIO)}}, 422),
        ({"files": {"track[asset_data]": ("a.wav", b"")}, "data": {"track[title]": "x"}}, 422),
    ],
)
def test_an_upload_that_is_no_track_is_refused(joe, options, status):
    before = len(tracks_of(joe))
    answer = joe("POST", "/tracks", **options)
    assert answer.status_code == status
    assert differences(answer.json(), description.ERROR) == []
    assert len(tracks_of(joe)) == before


@pytest.mark.parametrize(("fault", "status"), [("unverified", 401), ("quota", 422)])
def test_an_upload_can_be_refused_while_the_token_is_good(joe, sandbox, fault, status):
    before = len(tracks_of(joe))
    sandbox.misbehave(fault)
    assert joe.upload(bytes(1_000_000)).status_code == status
    me = joe.get("/me")
    assert me.status_code == 200
    assert me.json()["primary_email_confirmed"] == (fault != "unverified")
    assert me.json()["upload_seconds_left"] == (0 if fault == "quota" else None)
    assert len(tracks_of(joe)) == before
    sandbox.misbehave()
    assert joe.upload().status_code == 201
    assert sandbox.counts["upload"] == 2


@pytest.mark.parametrize("protocol", ["oauth2", "oauth1"])
@pytest.mark.parametrize("path", ["/me/tracks", "/me/playlists"])
def test_one_path_can_refuse_every_token_while_the_others_work(root, sandbox, protocol, path):
    caller = Caller(root, protocol=protocol)
    sandbox.misbehave(f"unauthorized-at={path}")
    statuses = {each: caller.get(each).status_code for each in ("/me", "/me/tracks", path)}
    assert statuses == {"/me": 200, "/me/tracks": 200, path: 401}
    sandbox.misbehave("unauthorized-at")
    assert (caller.get("/me").status_code, caller.get("/me/tracks").status_code) == (200, 401)


def test_an_upload_can_be_refused_at_the_word_of_another_process(joe):
    said = requests.post(f"{joe.root}/sandbox/misbehave", data={"name": "quota"}, timeout=10)
    assert (said.status_code, joe.upload().status_code) == (204, 422)


def test_no_body_is_read_for_a_token_that_is_refused(root):
    """A large one would be: the answer comes at once, and the connection ends."""
    host, port = urlsplit(root).netloc.split(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        head = b"POST /tracks HTTP/1.1\r\nHost: x\r\nContent-Length: 4000000000\r\n"
        connection.sendall(head + b"Content-Type: multipart/form-data; boundary=b\r\n\r\n")
        assert connection.recv(12) == b"HTTP/1.1 401"


def test_an_upload_that_is_given_up_is_no_error_of_the_sandbox(root, joe, caplog):
    host, port = urlsplit(root).netloc.split(":")
    head = (
        "POST /tracks HTTP/1.1\r\nHost: x\r\nContent-Length: 4000\r\n"
        "Content-Type: multipart/form-data; boundary=b\r\n"
        f"Authorization: {joe.session.headers['Authorization']}\r\n\r\n--b\r\n"
    )
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(head.encode())
        connection.shutdown(socket.SHUT_WR)
        assert connection.recv(12) == b"HTTP/1.1 400"
    assert "raised" not in caplog.text


def test_a_signed_call_uploads_too(root):
    """In OAuth 1.0a no body but a form is signed (RFC 5849 section 3.4.1.3.1)."""
    caller = Caller(root, protocol="oauth1")
    with caller.session:
        assert caller.upload(bytes(range(256))).status_code == 201
        assert caller.get("/me/likes/tracks").status_code == 200
