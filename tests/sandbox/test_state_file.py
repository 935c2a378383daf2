"""The file that keeps what the sandbox knows over a restart."""

import json
import os
import signal
import stat
from contextlib import contextmanager

import pytest
from support.browser import Browser
from support.commands import run, running
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


GOOD = {
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
DAMAGED = {
    "empty": "",
    "no JSON": "garbage",
    "cut off": json.dumps(GOOD)[:40],
    "a list": "[]",
    "another format": json.dumps({**GOOD, "format": 2}),
    "nothing in it": "{}",
    "a field too many": json.dumps({**GOOD, "grants": [{"username": "joe", "colour": "red"}]}),
    "a grant that is not there": json.dumps({**GOOD, "refresh": {"t": 5}}),
    "a user that is none": json.dumps({**GOOD, "users": ["joe"]}),
    "too deep": "[" * 100_000,
    "a track of nobody": json.dumps({**GOOD, "tracks": [{"owner": "x"}]}),
}


@pytest.mark.parametrize("text", DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_file_is_refused_and_left_as_it_is(text, tmp_path):
    path = tmp_path / "state.json"
    path.write_text(text)
    with pytest.raises(StateFileError, match="is damaged, or was not written by a sandbox"):
        Sandbox(state_file=path)
    assert path.read_text() == text
    assert os.listdir(tmp_path) == ["state.json"]


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
    Sandbox(state_file=tmp_path / "one").close()  # links in a circle lead nowhere


def test_two_sandboxes_do_not_share_a_file(tmp_path):
    path = tmp_path / "state.json"
    with sandbox_at(path) as (_, server):
        for _ in range(2):
            with pytest.raises(StateFileError, match="in use by another sandbox"):
                Sandbox(state_file=path)
            dance(OAuth2(*CLIENT, provider=Sandbox().oauth2_provider(server.url)))
    with sandbox_at(path):
        pass


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
