"""Uploads over real sockets: files that are read while they are sent, and sent once."""

import hashlib
import io
import os
import pathlib
import socket
import subprocess
import sys
import tempfile
import textwrap
import time
from contextlib import ExitStack, contextmanager, suppress

import pytest
import requests
from support.commands import environment
from support.flows import CLIENT, dance, flow_for
from support.secure import Authority
from support.sink import KEPT, TRACK, form, read_body, sink
from support.stores import connection
from support.wire import answer

from scconnect_wsgi import OAuth2, OAuth2Provider, Transport
from scconnect_wsgi.connections import Connections
from scconnect_wsgi.connections._session import ApiSession
from scconnect_wsgi.errors import (
    ConnectError,
    ConnectionRevoked,
    ProviderError,
    ProviderUnavailable,
    RateLimited,
    UnusableFile,
)
from scconnect_wsgi.stores.sql import SQLStore
from scconnect_wsgi.token import AccessToken
from scconnect_wsgi.transport._multipart import PIECE

pytestmark = [pytest.mark.slow, pytest.mark.threat(56)]

MB = 1024 * 1024
TITLE = {"track[title]": "A title"}
ASSET = "track[asset_data]"


@contextmanager
def session_at(url, *, timeout=10.0, ca_bundle=None, lifetime=None, age=0):
    """A session whose token lives ``lifetime`` seconds, of which ``age`` are over."""
    provider = OAuth2Provider(f"{url}/authorize", f"{url}/oauth/token", api_url=url)
    transport = Transport(timeout=timeout, ca_bundle=ca_bundle)
    flow = OAuth2(*CLIENT, provider=provider, transport=transport)
    store = SQLStore("sqlite://")
    now = int(time.time())
    expires_at = None if lifetime is None else now - age + lifetime
    token = AccessToken("the first token", refresh_token="a refresh token", expires_at=expires_at)
    kept = store.save(connection(api_url=url, token=token, obtained_at=now - age))
    with ApiSession(kept, store, flow) as session:
        yield session


@pytest.fixture
def audio(tmp_path):
    """A file that is longer than a few pieces, and no two of them are the same."""
    path = tmp_path / "song.mp3"
    path.write_bytes(b"".join(number.to_bytes(4, "big") for number in range(12_001)))
    return path


def upload(session, source, **options):
    return session.upload("/tracks", TITLE, {ASSET: source}, **options)


# What is sent


def sources(path, stack):
    data = path.read_bytes()
    whole = opened(stack, path, "rb")
    spooled = tempfile.SpooledTemporaryFile()  # noqa: SIM115
    stack.callback(spooled.close)
    spooled.write(data)
    spooled.seek(0)
    late = opened(stack, path, "rb")
    late.seek(1000)
    return {
        "a path": (path, ("song.mp3", "audio/mpeg", data)),
        "a path as text": (str(path), ("song.mp3", "audio/mpeg", data)),
        "an open file": (whole, ("song.mp3", "audio/mpeg", data)),
        "a file in memory": (io.BytesIO(data), (ASSET, "application/octet-stream", data)),
        "a spooled file": (spooled, (ASSET, "application/octet-stream", data)),
        "the rest of a file": (late, ("song.mp3", "audio/mpeg", data[1000:])),
        "a name": (("x.flac", path), ("x.flac", "audio/flac", data)),
        "a name and a type": (("x", path, "audio/x"), ("x", "audio/x", data)),
        "an empty file": (("x.wav", io.BytesIO()), ("x.wav", "audio/x-wav", b"")),
        "one byte": (("x.mp3", io.BytesIO(b"1")), ("x.mp3", "audio/mpeg", b"1")),
        "a whole piece": (
            ("x.mp3", io.BytesIO(data[:PIECE])),
            ("x.mp3", "audio/mpeg", data[:PIECE]),
        ),
    }


def test_whatever_can_be_read_is_sent_with_its_length(audio):
    with ExitStack() as stack, sink() as server, session_at(server.url) as session:
        for name, (source, expected) in sources(audio, stack).items():
            response = upload(session, source)
            assert (response.status_code, response.json()["urn"]) == (201, "soundcloud:tracks:1")
            received = server.requests[-1]
            assert "transfer-encoding" not in received.headers, name
            assert received.headers["authorization"] == "OAuth the first token"
            if name == "an empty file":  # webob takes it for no file at all
                assert b'filename="x.wav"' in received.start
                continue
            assert form(received) == {**TITLE, ASSET: expected}, name
    assert len(server.uploads) == 11


def test_fields_and_names_of_every_kind_arrive(audio, tmp_path):
    artwork = tmp_path / 'cover "of\r\nB\xe4renstra\xdfe".png'
    artwork.write_bytes(b"\x89PNG\r\n--\r\n\r\n")
    fields = {
        "track[title]": "Zo\xeb & B\xe4r \U0001f43b\r\nline two --boundary",
        "track[downloadable]": False,
        "track[commentable]": True,
        "track[bpm]": 120,
        "track[description]": "",
    }
    with sink() as server, session_at(server.url) as session:
        files = {ASSET: audio, "track[artwork_data]": artwork}
        assert session.upload("/tracks", fields, files).status_code == 201
    found = form(server.requests[0])
    assert found == {
        **fields,
        "track[downloadable]": "false",
        "track[commentable]": "true",
        "track[bpm]": "120",
        ASSET: ("song.mp3", "audio/mpeg", audio.read_bytes()),
        "track[artwork_data]": (
            "cover %22of%0D%0AB\xe4renstra\xdfe%22.png",
            "image/png",
            b"\x89PNG\r\n--\r\n\r\n",
        ),
    }


def test_an_open_file_keeps_its_name(tmp_path):
    path = tmp_path / "night bus.flac"
    path.write_bytes(b"fLaC")
    with (
        sink() as server,
        session_at(server.url) as session,
        open(path, "rb") as text,
        open(os.fsencode(path), "rb") as binary,
        tempfile.TemporaryFile() as nameless,
    ):
        for file in (text, binary, nameless):
            upload(session, file)
    names = [form(received)[ASSET][0] for received in server.uploads[:2]]
    assert names == ["night bus.flac"] * 2
    assert b'filename="track[asset_data]"' in server.uploads[2].start


def test_a_name_that_is_not_utf8_arrives_without_what_cannot_be_read(tmp_path):
    path = os.fsencode(tmp_path) + b"/B\xe4r.mp3"
    pathlib.Path(os.fsdecode(path)).write_bytes(b"x")
    with sink() as server, session_at(server.url) as session:
        upload(session, os.fsdecode(path))
    assert form(server.requests[0])[ASSET][0] == "B?r.mp3"


@pytest.mark.parametrize("protocol", ["oauth2", "oauth1"])
def test_the_sandbox_takes_it_in_both_protocols(provider, audio, protocol):
    """A multipart body is no part of an OAuth 1.0a signature (RFC 5849 section 3.4.1.3.1)."""
    flow = flow_for(protocol, provider.url)
    connections = Connections(flow, SQLStore("sqlite://"))
    kept = connections.connect(dance(flow), user="joe")
    with connections.session(kept.id, user="joe") as session:
        fields = {**TITLE, "track[sharing]": "private"}
        track = session.upload("/tracks", fields, {ASSET: audio})
        assert track.status_code == 201
        assert session.get(f"/tracks/{track.json()['urn']}").json()["sharing"] == "private"


def test_it_works_over_tls(audio, tmp_path):
    authority = Authority()
    ca_bundle = authority.write(tmp_path)
    with sink(tls=authority.tls) as server, session_at(server.url, ca_bundle=ca_bundle) as session:
        assert upload(session, audio).status_code == 201
        assert form(server.requests[0])[ASSET][2] == audio.read_bytes()


# Memory

MEASURING = """
    import pathlib, resource, sys, time
    from scconnect_wsgi import OAuth2, OAuth2Provider
    from scconnect_wsgi.connections import Connections
    from scconnect_wsgi.stores.sql import SQLStore
    from scconnect_wsgi.token import AccessToken

    url, path, small = sys.argv[1:]
    provider = OAuth2Provider(url + "/authorize", url + "/oauth/token", api_url=url)
    connections = Connections(OAuth2("client", "secret", provider=provider), SQLStore("sqlite://"))
    kept = connections.connect(AccessToken("a token"), user="joe", callback_url=url)
    with connections.session(kept.id, user="joe") as session:
        def peak(path):
            files = {"track[asset_data]": path}
            assert session.upload("/tracks", {"track[title]": "x"}, files).status_code == 201
            return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        print(peak(small), peak(path))
"""


def test_a_large_file_needs_no_memory(tmp_path, audio):
    """requests' own ``files`` take twice the file: 400 MB."""
    size = int(os.environ.get("TESTS_UPLOAD_MB", "200")) * MB
    large = tmp_path / "large.wav"
    with open(large, "wb") as file:
        file.write(b"RIFF")
        file.truncate(size)  # sparse: it takes no place on the disk
    me = answer(b'{"urn": "soundcloud:users:1", "username": "joe"}')
    with sink(me, TRACK) as server:
        command = [sys.executable, "-c", textwrap.dedent(MEASURING)]
        done = subprocess.run(
            [*command, server.url, large, audio],
            env=environment(),
            capture_output=True,
            text=True,
            timeout=300,
        )
    assert done.returncode == 0, done.stderr
    before, after = map(int, done.stdout.split())
    print(f"peak of {before} MB with a small file, {after} MB with one of {size // MB} MB")
    assert after - before < 8
    received = server.uploads[-1]
    assert received.is_complete
    head = received.start.index(b"RIFF")
    digest = hashlib.sha256(received.start[:head] + b"RIFF")
    for left in range(size - 4, 0, -MB):
        digest.update(bytes(min(MB, left)))
    boundary = received.headers["content-type"].partition("boundary=")[2]
    digest.update(f"\r\n--{boundary}--\r\n".encode())
    assert received.digest == digest.hexdigest()


# Whose files they are


def open_files():
    return len(os.listdir("/proc/self/fd"))


def refused_by_the_callback(*_):
    raise RuntimeError("stop")


@pytest.mark.parametrize("progress", [None, refused_by_the_callback])
def test_it_closes_what_it_opened_and_nothing_else(audio, progress):
    with sink() as server, session_at(server.url) as session, open(audio, "rb") as mine:
        upload(session, audio)
        before = open_files()
        for source in (audio, mine):
            with suppress(RuntimeError):
                upload(session, source, progress=progress)
        assert not mine.closed
        assert open_files() <= before  # the connection may be closed as well
        with pytest.raises(UnusableFile):
            session.upload("/tracks", TITLE, {"a": audio, "b": mine, "c": audio / "none"})
        assert not mine.closed
        assert open_files() <= before


class Source(io.BytesIO):
    """A file whose ``read`` is that of the test, from the second piece on."""

    def __init__(self, data, later):
        super().__init__(data)
        self.later = later

    def read(self, size=-1):
        if self.tell() >= PIECE:
            return self.later(self, size)
        return super().read(size)


def fails(error):
    def read(source, size):
        raise error

    return read


def grows(source, size):
    data = io.BytesIO.read(source, size)
    place = source.tell()
    source.seek(0, os.SEEK_END)
    source.write(b"more")
    source.seek(place)
    return data


def pipe(stack):
    reading, writing = os.pipe()
    stack.callback(os.close, writing)
    return stack.enter_context(open(reading, "rb"))


class Lost(io.BytesIO):
    def tell(self):
        return None


class Endless:
    def read(self, size):
        return bytes(size)


def named_pipe(folder):
    os.mkfifo(folder / "fifo")
    return folder / "fifo"


def opened(stack, *arguments):
    return stack.enter_context(open(*arguments))


def closed(path):
    with open(path, "rb") as file:
        pass
    return file


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda path, _: path / "none", id="below a file"),
        pytest.param(lambda path, _: path.with_name("none"), id="missing"),
        pytest.param(lambda path, _: str(path.with_name("none")), id="missing, as text"),
        pytest.param(lambda path, _: path.parent, id="a folder"),
        pytest.param(lambda path, _: named_pipe(path.parent), id="a named pipe"),
        pytest.param(lambda path, _: "/dev/zero", id="a device"),
        pytest.param(lambda path, _: "a\0b", id="a NUL"),
        pytest.param(lambda path, _: "", id="an empty path"),
        pytest.param(lambda _, stack: pipe(stack), id="a pipe"),
        pytest.param(lambda _, __: Endless(), id="no length"),
        pytest.param(lambda _, __: Lost(b"RIFF"), id="no position"),
        pytest.param(lambda path, stack: opened(stack, path), id="text"),
        pytest.param(lambda _, __: io.StringIO("text"), id="text in memory"),
        pytest.param(lambda path, _: closed(path), id="closed"),
        pytest.param(lambda path, _: ("x", path / "none", "audio/x"), id="in a tuple"),
    ],
)
def test_a_file_that_cannot_be_sent_is_named_before_anybody_is_asked(audio, make):
    with ExitStack() as stack, sink() as server, session_at(server.url) as session:
        with pytest.raises(UnusableFile, match=r"track\[asset_data\].*Nothing was sent"):
            upload(session, make(audio, stack))
        assert server.requests == []


@pytest.mark.parametrize(
    "given",
    [
        *(None, 7, b"RIFF", ["a"], ("x",), ("x", None), ("x", b"RIFF"), ("a", "b", "c", "d")),
        *((7, "a.wav"), (b"x", "a.wav"), ("x", "a.wav", 7), ("x", "a.wav", b"audio/wav")),
    ],
    ids=repr,
)
def test_what_is_no_file_is_a_type_error(given):
    with sink() as server, session_at(server.url) as session:
        with pytest.raises(TypeError):
            upload(session, given)
        with pytest.raises(TypeError, match=r"track\[title\]"):
            session.upload("/tracks", {"track[title]": ["x"]}, {})
        with pytest.raises(ValueError, match="one line"):
            upload(session, ("x", io.BytesIO(), "audio/x\r\nX: y"))
        assert server.requests == []


@pytest.mark.parametrize(
    ("later", "problem"),
    [
        (lambda *_: b"", "shorter"),
        (grows, "longer"),
        (fails(OSError(5, "Input/output error")), "read any further"),
        (fails(BrokenPipeError("a pipe of the site's own")), "read any further"),
        (fails(TimeoutError("a share that does not answer")), "read any further"),
        (fails(requests.ConnectionError("a file that is fetched")), "read any further"),
        (fails(ValueError("closed by another thread")), "read any further"),
        (lambda *_: "text", "bytes"),
        (lambda *_: None, "bytes"),
        (lambda _, size: bytes(size + 1), "bytes"),
    ],
)
def test_a_file_that_changes_while_it_is_sent_is_never_a_track(later, problem):
    with sink() as server, session_at(server.url) as session:
        with pytest.raises(UnusableFile, match=problem) as caught:
            upload(session, Source(bytes(5 * PIECE), later))
        assert session.get("/me").status_code == 201  # over another connection
    assert not any(each.is_complete for each in server.uploads)
    assert not caught.value.outcome_unknown
    assert (caught.value.code, caught.value.fields()["error"]) == ("unusable_file",) * 2


@pytest.mark.parametrize("change", [-1, 1, 100_000, -40_000])
def test_a_file_on_the_disk_that_changes_is_never_a_track(audio, change):
    size = audio.stat().st_size

    def change_it(sent, total):
        os.truncate(audio, size + change)

    with (
        sink() as server,
        session_at(server.url) as session,
        pytest.raises(UnusableFile, match="shorter" if change < 0 else "longer"),
    ):
        upload(session, audio, progress=change_it)
    assert not any(each.is_complete for each in server.uploads)


# Progress


def test_progress_tells_what_was_sent_of_how_much(audio):
    told = []
    with sink() as server, session_at(server.url) as session:
        upload(session, audio, progress=lambda *numbers: told.append(numbers))
    sent, totals = zip(*told, strict=True)
    assert set(totals) == {server.uploads[0].length}
    assert list(sent) == sorted(set(sent))
    assert sent[-1] == totals[0]
    assert len(sent) > 3


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("the site's"),
        OSError("the site's"),
        BrokenPipeError("the site's"),
        ConnectionResetError(104, "the site's"),
        TimeoutError("the site's"),
        ValueError("the site's"),
        StopIteration("the site's"),
        requests.Timeout("the site's"),
        RateLimited("the site's"),
        KeyboardInterrupt(),
    ],
    ids=repr,
)
def test_an_error_of_the_callback_is_the_callers(audio, error):
    def progress(sent, total):
        mine = "a local variable"
        if sent > PIECE:
            raise error
        assert mine

    with sink() as server, session_at(server.url) as session:
        with pytest.raises(type(error)) as caught:
            upload(session, audio, progress=progress)
        assert session.get("/me").status_code == 201
    assert caught.value is error
    assert caught.value.__context__ is None
    assert not any(each.is_complete for each in server.uploads)
    if isinstance(error, Exception):
        (frame,) = (entry.frame for entry in caught.traceback if entry.name == "progress")
        assert frame.f_locals["mine"] == "a local variable"


# Time


def answering_after(pause):
    def take(connection, received):
        read_body(connection, received)
        time.sleep(pause)
        connection.send(TRACK)

    return take


def test_the_server_may_think_for_longer_than_a_read_may_take(audio):
    with sink(answering_after(1.2)) as server, session_at(server.url, timeout=0.4) as session:
        assert upload(session, audio).status_code == 201


def test_the_server_may_not_think_for_ever(audio):
    with sink(answering_after(4)) as server, session_at(server.url) as session:
        began = time.monotonic()
        with pytest.raises(ProviderUnavailable, match="Everything had been sent") as caught:
            upload(session, audio, answer_timeout=0.5)
        assert time.monotonic() - began < 3.5
    assert caught.value.outcome_unknown
    assert len(server.uploads) == 1


def test_an_answer_that_is_too_long_does_not_hide_that_all_was_sent(audio):
    huge = answer(bytes(9 * MB), status="201 Created")
    with sink(huge) as server, session_at(server.url) as session:
        with pytest.raises(ProviderError) as caught:
            upload(session, audio)
        assert caught.value.outcome_unknown
    assert server.uploads[0].is_complete


def reading_slowly(pieces, pause):
    def take(connection, received):
        for _ in range(pieces):
            time.sleep(pause)
            connection.stream.read(received.length // pieces)
        connection.stream.read(received.length % pieces)
        connection.send(TRACK)

    return take


def never_reading(connection, received):
    time.sleep(6)


def test_a_slow_connection_that_moves_is_not_given_up():
    with (
        sink(reading_slowly(12, 0.25)) as server,
        session_at(server.url, timeout=1.5) as session,
    ):
        assert upload(session, io.BytesIO(bytes(24 * MB))).status_code == 201


def test_a_connection_that_stands_still_is_given_up():
    with sink(never_reading) as server, session_at(server.url, timeout=0.5) as session:
        began = time.monotonic()
        with pytest.raises(ProviderUnavailable, match="Not everything had been sent") as caught:
            upload(session, io.BytesIO(bytes(24 * MB)))
        assert time.monotonic() - began < 4
    assert not caught.value.outcome_unknown


@pytest.mark.parametrize("name", ["timeout", "answer_timeout"])
@pytest.mark.parametrize("seconds", [0, -1, float("nan"), float("inf"), 1e12])
def test_a_time_limit_that_is_none_is_refused(audio, name, seconds):
    with sink() as server, session_at(server.url) as session:
        with pytest.raises(ValueError, match="above 0"):
            upload(session, audio, **{name: seconds})
        assert server.requests == []


# One upload is one upload

UNAUTHORIZED = answer(b"{}", status="401 Unauthorized")
JSON = {"content_type": "application/json"}
GRANT = answer(b'{"access_token": "the second token", "expires_in": 3600}', **JSON)
ME = answer(b'{"urn": "soundcloud:users:1"}')
TOO_LARGE = answer(b'{"code": 413}', status="413 Content Too Large")


def lines(server):
    return [each.line.removesuffix(" HTTP/1.1") for each in server.requests]


def test_a_401_is_not_a_reason_to_send_the_file_again(audio):
    with (
        sink(UNAUTHORIZED, UNAUTHORIZED, GRANT, ME, TRACK) as server,
        session_at(server.url) as session,
    ):
        assert upload(session, audio).status_code == 401
        assert lines(server) == ["POST /tracks", "GET /me", "POST /oauth/token", "GET /me"]
        assert upload(session, audio).status_code == 201  # with the new token
        assert server.uploads[-1].headers["authorization"] == "OAuth the second token"


def test_a_401_about_the_upload_ends_nothing(audio):
    with sink(UNAUTHORIZED, ME, UNAUTHORIZED, ME) as server, session_at(server.url) as session:
        for _ in range(2):
            assert upload(session, audio).status_code == 401
        assert lines(server) == ["POST /tracks", "GET /me"] * 2


@pytest.mark.parametrize("kind", ["path", "file"])
def test_it_is_sent_again_from_the_same_place_if_the_caller_said_so(audio, kind):
    with (
        sink(UNAUTHORIZED, UNAUTHORIZED, GRANT, TRACK) as server,
        session_at(server.url) as session,
        open(audio, "rb") as file,
    ):
        file.seek(100)
        session.resend = True
        told = []
        source = audio if kind == "path" else file
        response = upload(session, source, progress=lambda sent, _: told.append(sent))
        assert response.status_code == 201
    first, second = server.uploads
    assert first.digest == second.digest
    assert form(second)[ASSET][2] == audio.read_bytes()[0 if kind == "path" else 100 :]
    assert told.count(first.length) == 2


def test_a_revoked_connection_is_said_once(audio):
    refused = answer(b'{"error": "invalid_grant"}', status="400 Bad Request", **JSON)
    with (
        sink(UNAUTHORIZED, UNAUTHORIZED, refused) as server,
        session_at(server.url) as session,
        pytest.raises(ConnectionRevoked),
    ):
        upload(session, audio)
    assert len(server.uploads) == 1


@pytest.mark.parametrize("status", ["301", "302", "303", "307", "308"])
def test_a_redirect_does_not_take_the_file_along(audio, status):
    away = answer(b"", "Location: /tracks/elsewhere", status=f"{status} There")
    with sink(away, ME) as server, session_at(server.url) as session:
        followed = upload(session, audio).status_code == 200
    assert len(server.uploads) == 1
    assert lines(server)[1:] == (["GET /tracks/elsewhere"] if followed else [])
    assert followed == (status not in ("307", "308"))


@pytest.mark.parametrize("status", ["429 Too Many Requests", "503 Service Unavailable"])
def test_a_retry_after_is_the_callers(audio, status):
    later = answer(b"{}", "Retry-After: 1", status=status)
    with sink(later, TRACK) as server, session_at(server.url) as session:
        assert upload(session, audio).headers["Retry-After"] == "1"
    assert len(server.uploads) == 1


def cut_off_after(part):
    def take(connection, received):
        read_body(connection, received, int(received.length * part))
        connection.reset()

    return take


@pytest.mark.parametrize(("part", "unknown"), [(0, False), (0.5, False), (1, True)])
def test_a_connection_that_breaks_says_whether_it_may_have_been_taken(part, unknown):
    data = io.BytesIO(bytes(24 * MB))
    with (
        sink(cut_off_after(part), TRACK) as server,
        session_at(server.url) as session,
        pytest.raises(ProviderUnavailable) as caught,
    ):
        upload(session, data)
    assert caught.value.outcome_unknown == unknown
    assert ("Everything" in caught.value.message) == unknown
    assert len(server.uploads) == 1


def test_nobody_there_is_a_typed_error_too(audio):
    with (
        session_at("http://127.0.0.1:9") as session,
        pytest.raises(ProviderUnavailable, match="refused") as caught,
    ):
        upload(session, audio)
    assert not caught.value.outcome_unknown


@pytest.mark.parametrize("address", ["https://elsewhere.example/tracks", "http://127.0.0.1:9/x"])
def test_an_address_of_another_host_is_refused(audio, address):
    with (
        sink() as server,
        session_at(server.url) as session,
        pytest.raises(requests.exceptions.InvalidURL),
    ):
        session.upload(address, TITLE, {ASSET: audio})


# The token


@pytest.mark.parametrize(("age", "refreshed"), [(1900, True), (1700, False)])
def test_a_token_is_refreshed_ahead_once_half_of_its_life_is_over(audio, age, refreshed):
    """A large file takes as long as a token lives."""
    answers = [GRANT, TRACK] if refreshed else [TRACK]
    with (
        sink(*answers) as server,
        session_at(server.url, lifetime=3600, age=age) as session,
    ):
        assert upload(session, audio).status_code == 201
        session.get("/me")
    assert lines(server) == [*["POST /oauth/token"] * refreshed, "POST /tracks", "GET /me"]


def test_a_refresh_ahead_that_fails_stops_no_upload(audio):
    sick = answer(b"{}", status="503 Service Unavailable")
    with sink(sick, TRACK) as server, session_at(server.url, lifetime=3600, age=3000) as session:
        assert upload(session, audio).status_code == 201
    assert server.uploads[0].headers["authorization"] == "OAuth the first token"


# An answer before the end


def answering_early(connection):
    connection.send(TOO_LARGE)


def holding(connection):
    """Neither read nor hang up."""
    answering_early(connection)
    time.sleep(8)


def lingering(connection):
    """Read on for a while, as RFC 9112 section 9.6 asks of servers, and then no more."""
    answering_early(connection)
    for _ in range(5):
        connection.stream.read1(KEPT)
        time.sleep(0.05)
    connection.reset()


def hanging_up(connection):
    answering_early(connection)
    connection.sock.shutdown(socket.SHUT_WR)
    time.sleep(0.5)


def in_two_parts(connection):
    connection.send(TOO_LARGE[:5])
    time.sleep(0.2)
    connection.send(TOO_LARGE[5:])
    time.sleep(8)


def behind_interim_ones(connection):
    connection.send(answer_to_be_continued)
    holding(connection)


answer_to_be_continued = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nLink: <x>\r\n\r\n"


@pytest.mark.parametrize("tls", [False, True], ids=["http", "https"])
@pytest.mark.parametrize(
    "then", [holding, lingering, hanging_up, in_two_parts, behind_interim_ones]
)
def test_an_answer_before_the_end_is_returned_and_the_rest_is_not_sent(tmp_path, then, tls):
    authority = Authority() if tls else None
    ca_bundle = authority.write(tmp_path) if tls else None
    told = []

    def take(connection, received):
        then(connection)

    with (
        sink(take, ME, tls=authority.tls if tls else None) as server,
        session_at(server.url, ca_bundle=ca_bundle, timeout=2) as session,
    ):
        began = time.monotonic()
        response = upload(
            session,
            io.BytesIO(bytes(64 * MB)),
            progress=lambda sent, total: told.append(total - sent),
        )
        assert (response.status_code, response.json()) == (413, {"code": 413})
        assert time.monotonic() - began < 6
        assert 0 not in told
        assert session.get("/me").status_code == 200  # over another connection
    assert len(server.uploads) == 1


@pytest.mark.parametrize("tls", [False, True], ids=["http", "https"])
def test_interim_responses_do_not_stop_an_upload(tmp_path, audio, tls):
    authority = Authority() if tls else None

    def take(connection, received):
        connection.send(answer_to_be_continued)
        read_body(connection, received, 30_000)
        connection.send(answer_to_be_continued)
        read_body(connection, received)
        connection.send(TRACK)

    with (
        sink(take, ME, tls=authority.tls if tls else None) as server,
        session_at(server.url, ca_bundle=authority.write(tmp_path) if tls else None) as session,
    ):
        for expected in (201, 200):
            response = upload(session, audio, progress=lambda *_: time.sleep(0.02))
            assert response.status_code == expected
    assert server.uploads[0].is_complete


def test_a_server_that_says_too_much_stops_the_upload():
    """Interim responses without end cost no memory."""
    hints = b"HTTP/1.1 103 Early\r\n\r\n"

    def take(connection, received):
        with suppress(OSError):
            while True:
                connection.send(hints * 1000)

    with (
        sink(take) as server,
        session_at(server.url) as session,
        pytest.raises(ConnectError, match="Not everything had been sent"),
    ):
        upload(session, io.BytesIO(bytes(64 * MB)))
