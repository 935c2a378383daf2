"""The file that keeps what the sandbox knows over a restart."""

import json
import os
import signal
import stat
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest
from support.browser import Browser
from support.commands import environment, run, running
from support.flows import CALLBACK, CLIENT, dance, flow_for
from support.ports import free_port

from scconnect_wsgi import OAuth1, OAuth2
from scconnect_wsgi.connections import Connections
from scconnect_wsgi.errors import ConnectionRevoked
from scconnect_wsgi.sandbox import Sandbox, StateFileError, serve
from scconnect_wsgi.stores import MemoryStore

both_protocols = pytest.mark.parametrize("protocol", ["oauth2", "oauth1"])


@contextmanager
def sandbox_at(path, port=0, **options):
    """Run a sandbox with a state file."""
    sandbox = Sandbox(state_file=path, **options)
    try:
        with serve(sandbox, port) as server:
            yield sandbox, server
    finally:
        sandbox.close()


def connections_of(protocol, server):
    return Connections(flow_for(protocol, server.url, api_url=server.url), MemoryStore())


@both_protocols
def test_a_connection_survives_a_restart(protocol, tmp_path):
    path = tmp_path / "state.json"
    port = free_port()
    with sandbox_at(path, port) as (_, server):
        connections = connections_of(protocol, server)
        made = connections.connect(dance(connections._flow), user="joe", callback_url=CALLBACK)
    with sandbox_at(path, port) as (sandbox, _):
        assert connections.session(made.id, user="joe").me().username == "joe"
        if protocol == "oauth2":
            sandbox.expire()
            assert connections.session(made.id, user="joe").me().username == "joe"
            assert sandbox.counts["redeemed"] == 1
    with sandbox_at(path, port) as (sandbox, _):
        assert connections.session(made.id, user="joe").me().username == "joe"
        sandbox.revoke("joe")
    with sandbox_at(path, port), pytest.raises(ConnectionRevoked):
        connections.session(made.id, user="joe").me()


@both_protocols
def test_a_flow_goes_on_after_a_restart(protocol, tmp_path):
    path = tmp_path / "state.json"
    port = free_port()
    with Browser() as browser:
        with sandbox_at(path, port) as (_, server):
            flow = flow_for(protocol, server.url)
            departure = flow.begin(CALLBACK)
            browser.get(departure.authorize_url)
        with sandbox_at(path, port):
            arrival = browser.decide(departure.authorize_url)
        with sandbox_at(path, port):
            query = dict(pair.split("=") for pair in arrival.partition("?")[2].split("&"))
            assert flow.finish(CALLBACK, query, departure.pending).token


def test_people_uploads_and_logins_survive(tmp_path):
    path = tmp_path / "state.json"
    port = free_port()
    with Browser() as browser:
        with sandbox_at(path, port) as (_, server):
            browser.sign_up(server.url, "zoë")
            connections = connections_of("oauth2", server)
            made = connections.connect(dance(connections._flow), user="joe", callback_url=CALLBACK)
            session = connections.session(made.id, user="joe")
            files = {"track[asset_data]": ("a.mp3", b"a" * 1000)}
            fields = {"track[title]": "New", "track[sharing]": "private", "track[genre]": "House"}
            session.post("/tracks", data=fields, files=files).raise_for_status()
            tracks = session.get("/me/tracks").json()
        with sandbox_at(path, port) as (_, server):
            page = browser.get(flow_for("oauth2", server.url).begin(CALLBACK).authorize_url).text
            assert "your account <strong" in page
            assert "zoë" in page
            assert session.get("/me/tracks").json() == tracks
            session.post("/tracks", data=fields, files=files).raise_for_status()
            assert len(session.get("/me/tracks").json()) == len(tracks) + 1


def test_no_token_is_lost_when_the_process_is_killed(tmp_path):
    path = tmp_path / "state.json"
    command = ["-m", "scconnect_wsgi", "sandbox", "--state", path, "--port"]
    with running(tmp_path, *command, "0") as first:
        flow = OAuth2(*CLIENT, provider=Sandbox().oauth2_provider(first.url))
        token = flow.refresh(dance(flow))
        first.stop(signal.SIGKILL)
    port = first.url.rpartition(":")[2]
    with running(tmp_path, *command, port) as second:
        assert second.url == first.url
        assert flow.refresh(token).token
        second.stop()


def test_the_file_is_for_its_owner_only(tmp_path):
    path = tmp_path / "state.json"
    link = tmp_path / "link"
    link.symlink_to(path)
    with sandbox_at(link) as (_, server):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        path.chmod(0o644)
        dance(OAuth2(*CLIENT, provider=Sandbox().oauth2_provider(server.url)))
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert link.is_symlink()
    assert sorted(os.listdir(tmp_path)) == ["link", "state.json"]


def test_what_changes_nothing_writes_nothing(tmp_path):
    path = tmp_path / "state.json"
    with sandbox_at(path) as (_, server), Browser() as browser:
        before = path.stat()
        assert browser.get(f"{server.url}/").ok
        assert path.stat() == before


GOOD: dict[str, Any] = {
    "format": 1,
    "users": [],
    "tracks": [],
    "sessions": [],
    "grants": [],
    "request_tokens": {},
    "codes": {},
    "access": {},
    "refresh": {},
}
JOE = {"number": 1, "username": "jo", "password": "x", "full_name": "Jo"}
CODE = {"grant": 0, "redirect_uri": "", "challenge": "", "created_at": 1.5}
# What is wrong with JSON that has the right form, and the words that say where
WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "a name that is a number": (
        {"users": [{**JOE, "username": 5}]},
        "users[0].username must be st",
    ),
    "a number that is true": ({"users": [JOE, {**JOE, "number": True}]}, "users[1].number must be"),
    "a user that is none": ({"users": ["joe"]}, "users[0] must be an object"),
    "users that are none": ({"users": {}}, "users must be list"),
    "a field too few": ({"users": [{"number": 1}]}, "users[0].username is missing"),
    "a field too many": (
        {"grants": [{"username": "joe", "colour": "red"}]},
        "grants[0] has a field that is unknown",
    ),
    "another part": ({"more": []}, "it has a field that is unknown"),
    "another format": ({"format": 2}, "format must be 1"),
    "a format that is true": ({"format": True}, "format must be int"),
    "a grant that is not there": ({"refresh": {"t": 5}}, "refresh[0].grant is the number of no"),
    "a grant from the end": (
        {"grants": [{"username": "joe"}], "codes": {"c": {**CODE, "grant": -1}}},
        "codes[0].grant is the number of no grant",
    ),
    "a time that is text": (
        {"grants": [{"username": "joe"}], "codes": {"c": {**CODE, "created_at": "now"}}},
        "codes[0].created_at must be float",
    ),
    "a refresh token for text": ({"refresh": {"t": "0"}}, "refresh must be dict[str, int]"),
    "a track of nobody": (
        {"tracks": [{"number": 1, "owner": "x", "title": ""}]},
        "tracks[0].owner names a user who is not there",
    ),
    "details that are none": (
        {"tracks": [{"number": 1, "owner": "joe", "title": "", "details": {"genre": 5}}]},
        "tracks[0].details must be collections.abc.Mapping[str, str | bool]",
    ),
    "realms of numbers": (
        {"request_tokens": {"t": {"secret": "s", "callback": "", "realms": [1], "created_at": 1}}},
        "request_tokens[0].realms must be list[str]",
    ),
}
DAMAGED = {
    "no JSON": "garbage",
    "cut off": json.dumps(GOOD)[:40],
    "a list": "[]",
    "nothing in it": "{}",
    "too deep": "[" * 100_000,
    "half of a character in a name": json.dumps({**GOOD, "users": [{**JOE, "username": "\ud800"}]}),
    "half of a character in a token": json.dumps(
        {**GOOD, "grants": [{"username": "joe"}], "refresh": {"\udfff": 0}}
    ),
    **{name: json.dumps({**GOOD, **changes}) for name, (changes, _) in WRONG.items()},
}


@pytest.mark.parametrize("text", DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_file_is_refused_and_left_as_it_is(text, tmp_path):
    path = tmp_path / "state.json"
    path.write_text(text)
    with pytest.raises(StateFileError, match="is damaged, or was not written by a sandbox"):
        Sandbox(state_file=path)
    assert path.read_text() == text
    assert os.listdir(tmp_path) == ["state.json"]


@pytest.mark.parametrize(("changes", "words"), WRONG.values(), ids=WRONG)
def test_a_wrong_value_is_named_by_its_place(changes, words, tmp_path):
    path = tmp_path / "state.json"
    path.write_text(json.dumps({**GOOD, **changes}))
    with pytest.raises(StateFileError) as raised:
        Sandbox(state_file=path)
    assert f"{path} is damaged, or was not written by a sandbox: {words}" in str(raised.value)


def test_what_a_sandbox_writes_is_accepted(tmp_path):
    path = tmp_path / "state.json"
    path.write_text(json.dumps(GOOD))
    Sandbox(state_file=path).close()
    path.write_bytes(b"")  # as mktemp makes it
    Sandbox(state_file=path).close()
    assert json.loads(path.read_text())["format"] == 1


def make_device(path, number):
    try:
        os.mknod(path, stat.S_IFCHR | 0o666, number)
    except PermissionError:
        pytest.skip("only root makes devices")


NOT_ORDINARY = {
    "a named pipe": lambda path: os.mkfifo(path),
    "one as /dev/null": lambda path: make_device(path, os.makedev(1, 3)),
    "one as /dev/zero": lambda path: make_device(path, os.makedev(1, 5)),
}


@pytest.mark.parametrize("make", NOT_ORDINARY.values(), ids=NOT_ORDINARY)
def test_what_is_not_an_ordinary_file_is_refused_and_left_as_it_is(make, tmp_path):
    """In a process of its own, with little memory: none of them ever ends."""
    path = tmp_path / "state"
    make(path)
    before = path.stat()
    limited = 'ulimit -v 2000000 2>/dev/null; exec "$@"'
    command = [sys.executable, "-m", "scconnect_wsgi", "sandbox", "--port", "0", "--state", path]
    done = subprocess.run(
        ["sh", "-c", limited, "sh", *map(str, command)],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=20,
    )
    assert done.stderr.startswith(f"The state file {path} is not an ordinary file.")
    assert (done.returncode, done.stdout) == (1, "")
    after = path.stat()
    assert (after.st_mode, after.st_rdev) == (before.st_mode, before.st_rdev)


@pytest.mark.slow
def test_the_command_says_why_it_does_not_start(tmp_path):
    path = tmp_path / "state.json"
    path.write_bytes(b"\xff\xfe")
    for command in ([], ["--", "true"]):
        done = run("sandbox", "--port", "0", "--state", str(path), *command)
        assert done.returncode == 1
        assert done.stdout == ""
        assert done.stderr == (
            f"The state file {path} is damaged, or was not written by a sandbox. Give another "
            "name, or move it away to begin anew.\n"
        )


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    with pytest.raises(StateFileError, match=r"nowhere.*: No such file or directory"):
        Sandbox(state_file=tmp_path / "nowhere" / "state.json")
    with pytest.raises(StateFileError, match="Is a directory"):
        Sandbox(state_file=tmp_path)
    for name, other in (("one", "two"), ("two", "one")):
        (tmp_path / name).symlink_to(other)
    with pytest.raises(StateFileError, match="symbolic links"):  # in a circle
        Sandbox(state_file=tmp_path / "one")


def test_two_sandboxes_do_not_share_a_file(tmp_path):
    path = tmp_path / "state.json"
    with sandbox_at(path) as (_, server):
        for _ in range(2):
            with pytest.raises(StateFileError, match="in use by another sandbox"):
                Sandbox(state_file=path)
            dance(OAuth2(*CLIENT, provider=Sandbox().oauth2_provider(server.url)))
    with sandbox_at(path):
        pass


def test_a_new_file_belongs_to_one_of_those_who_begin_at_the_same_moment(tmp_path):
    path = tmp_path / "state.json"
    together = threading.Barrier(4)

    def begin(_):
        together.wait(10)
        try:
            return Sandbox(state_file=path)
        except StateFileError as error:
            return str(error)

    for _ in range(10):
        with ThreadPoolExecutor(4) as threads:
            made = list(threads.map(begin, range(4)))
        winners = [each for each in made if isinstance(each, Sandbox)]
        assert len(winners) == 1
        assert all("in use by another" in each for each in made if isinstance(each, str))
        winners[0].close()
        path.unlink()


def test_a_new_file_is_in_use_before_anything_is_in_it(tmp_path, monkeypatch):
    path = tmp_path / "state.json"
    replace = os.replace

    def try_and_replace(*names):
        with pytest.raises(StateFileError, match="in use by another sandbox"):
            Sandbox(state_file=path)
        replace(*names)

    monkeypatch.setattr(os, "replace", try_and_replace)
    Sandbox(state_file=path).close()
    assert json.loads(path.read_text())["format"] == 1


def test_a_file_that_has_just_been_replaced_is_in_use(tmp_path, monkeypatch):
    path = tmp_path / "state.json"
    replace = os.replace
    refused = []

    def replace_and_try(*names):
        replace(*names)
        with pytest.raises(StateFileError, match="in use by another sandbox"):
            Sandbox(state_file=path)
        refused.append(names)

    with sandbox_at(path) as (_, server), Browser() as browser:
        monkeypatch.setattr(os, "replace", replace_and_try)
        assert browser.get(f"{server.url}/login").ok
    assert refused


def test_a_file_that_is_replaced_while_it_is_opened_is_in_use(tmp_path, monkeypatch):
    path = tmp_path / "state.json"
    Sandbox(state_file=path).close()
    open_file = os.open

    def replaced(*arguments, **options):
        handle = open_file(*arguments, **options)
        monkeypatch.undo()
        path.rename(tmp_path / "old.json")
        path.write_bytes((tmp_path / "old.json").read_bytes())
        return handle

    monkeypatch.setattr(os, "open", replaced)
    with pytest.raises(StateFileError, match="in use by another sandbox"):
        Sandbox(state_file=path)


def test_a_request_whose_change_cannot_be_written_fails(tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    with sandbox_at(folder / "state.json") as (_, server), Browser() as browser:
        folder.rename(tmp_path / "another")
        refused = browser.get(f"{server.url}/login")
        assert refused.status_code == 503
        assert "cannot write its state file" in refused.text
        (tmp_path / "another").rename(folder)
        assert browser.get(f"{server.url}/login").ok


def test_a_sandbox_without_a_file_has_nothing_to_close():
    Sandbox().close()


def test_an_oauth1_permission_is_revoked_for_good(tmp_path):
    path = tmp_path / "state.json"
    with sandbox_at(path) as (sandbox, server):
        dance(OAuth1(*CLIENT, provider=sandbox.oauth1_provider(server.url)))
        sandbox.revoke()
    assert all(grant["revoked"] for grant in json.loads(path.read_text())["grants"])
