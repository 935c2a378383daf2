"""A store with an Encryption: nobody can read or move its tokens, and keys can be rotated."""

import sqlite3
from contextlib import closing
from dataclasses import replace

import pytest
from support.site import KEY, page_of_the_site
from support.stores import connection

from scconnect_wsgi import SCConnect
from scconnect_wsgi.connections import Connections
from scconnect_wsgi.encryption import Encryption
from scconnect_wsgi.errors import KeyRemoved, Undecipherable
from scconnect_wsgi.stores.sql import SQLStore

OLD = "old key, as long as a key of ours has to be"
NEW = "new key, as long as a key of ours has to be"
TOKEN_OF_ROW_TWO = "(SELECT token FROM scconnect_connections WHERE id = 'two')"
MOVES = {
    "the token of another row": f"token = {TOKEN_OF_ROW_TWO}",
    "another user": "user_id = 'user 2'",
    "another address to send the token to": "api_url = 'https://evil.example'",
    "a token in the clear": """token = '{"token": "of somebody else"}'""",
    "half of the token": "token = substr(token, 1, length(token) / 2)",
    "an empty token": "token = ''",
    "a token that is not base64": "token = '\N{SNOWMAN}'",
}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "connections.sqlite3"


def store(path, *keys, **options):
    return SQLStore(f"sqlite:///{path}", encryption=Encryption(keys, **options) if keys else None)


def execute(path, statement):
    with closing(sqlite3.connect(path)) as db, db:
        return db.execute(statement).fetchall()


@pytest.mark.parametrize("keys", [(), (OLD,)], ids=["without", "with"])
def test_no_token_can_be_read_from_the_files(path, keys):
    store(path, *keys).save(connection())
    content = b"".join(file.read_bytes() for file in path.parent.iterdir())
    assert (b"a refresh token" in content) == (keys == ())


@pytest.mark.parametrize("move", MOVES.values(), ids=MOVES)
def test_a_row_that_was_changed_by_hand_is_refused(path, move):
    kept = store(path, OLD)
    kept.save(connection("one"))
    kept.save(connection("two", user="user 2"))
    execute(path, f"UPDATE scconnect_connections SET {move} WHERE id = 'one'")
    with pytest.raises(Undecipherable):
        kept.load("one")
    assert kept.load("two").user == "user 2"
    assert [found.id for found in kept.of_account("soundcloud:users:1")] == ["two"]
    assert kept.of_user("user 1") == []
    kept.delete("one")  # that is how to get rid of it


def test_pages_go_on_past_connections_that_cannot_be_decrypted(path):
    for id, key in [("1", NEW), ("2", OLD), ("3", OLD), ("4", OLD), ("5", NEW), ("6", OLD)]:
        store(path, key).save(connection(id))
    kept = store(path, NEW)
    assert [found.id for found in kept.all("", 2)] == ["1"]
    assert [found.id for found in kept.all("1", 2)] == ["5"]
    assert kept.all("5", 2) == []


def test_keys_rotate_and_a_removed_key_has_an_error_of_its_own(path):
    stored = store(path, OLD).save(connection())
    with pytest.raises(KeyRemoved):
        store(path, NEW).load("one")
    assert store(path, OLD, NEW).load("one") == stored
    stored = store(path, OLD, NEW).save(replace(stored, obtained_at=7))
    assert store(path, NEW).load("one") == stored
    with pytest.raises(KeyRemoved):
        store(path).load("one")


def remote_user(request):
    return request.remote_user


def test_a_user_whose_key_is_gone_connects_again(path, soundcloud):
    """The whole flow, into the same row, as the error message recommends."""
    ids = []
    for key in (OLD, NEW):
        flow = soundcloud.oauth2()
        kept = Connections(flow, store(path, key), identify=remote_user)
        app = SCConnect(
            page_of_the_site,
            flow,
            secret_key=KEY,
            store_token=kept.store_token,
            identify=remote_user,
        )
        ids.append(soundcloud.connect(app, environ={"REMOTE_USER": "joe"}).fields["oauth_token_id"])
        with kept.session(ids[-1], user="joe") as session:
            assert session.me().username == "joe"
    assert ids[0] == ids[1]


def test_encryption_can_be_switched_on_for_a_store_with_tokens(path):
    stored = store(path).save(connection())
    with pytest.raises(Undecipherable, match="accept_unencrypted=True"):
        store(path, OLD).load("one")
    assert store(path, OLD, accept_unencrypted=True).load("one") == stored
    stored = store(path, OLD, accept_unencrypted=True).save(stored)
    assert store(path, OLD).load("one") == stored
