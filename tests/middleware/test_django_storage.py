"""``store_token`` and ``identify`` that use Django's ORM, through a restart of the database."""

import json
import os
import subprocess
import sys
from contextlib import contextmanager

import pytest
from support import databases
from support.paths import TESTS

pytestmark = pytest.mark.stores


class Site:
    """django_site.py in a process of its own."""

    def __init__(self, process):
        self._process = process

    def connect(self):
        """Let a user connect, and return the fields and the number of calls of store_token."""
        self._process.stdin.write("connect\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())


@contextmanager
def site(server, max_age=None, identifies=False, raises=False):
    database = {
        "ENGINE": "django.db.backends.postgresql",
        "HOST": "127.0.0.1",
        "PORT": server.port,
        "USER": "site",
        "NAME": "postgres",
    }
    settings = {"max_age": max_age, "identifies": identifies, "raises": raises}
    given = json.dumps({"database": database, **settings})
    command = [sys.executable, str(TESTS / "support" / "django_site.py"), given]
    path = os.pathsep.join([str(TESTS), *filter(None, sys.path)])
    with subprocess.Popen(
        command,
        env={**os.environ, "PYTHONPATH": path},
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            assert process.stdout.readline() == "ready\n"
            yield Site(process)
        finally:
            process.kill()


@pytest.fixture(scope="module")
def server():
    with databases.another("postgresql") as server:
        yield server


def restart(server):
    server.kill()
    server.start()


@pytest.mark.threat(37)
def test_37_after_a_restart_the_second_call_of_store_token_has_a_new_connection(server):
    with site(server) as running:
        assert running.connect() == {"stored": "1", "calls": 1, "open": True}
        for number in ("2", "3"):
            restart(server)
            assert running.connect() == {"stored": number, "calls": 2, "open": True}
        assert running.connect() == {"stored": "4", "calls": 1, "open": True}


def test_after_a_restart_identify_fails_once(server):
    """Nobody calls it a second time, but the next click finds a new connection."""
    with site(server, identifies=True) as running:
        assert running.connect()["stored"] == "1"
        restart(server)
        assert running.connect()["error"] == "start_refused"
        assert running.connect() == {"stored": "2", "calls": 1, "open": True}


def test_a_connection_without_an_age_is_closed_after_the_call(server):
    """As Django does at the end of a request: a thread of the server leaves none behind."""
    with site(server, max_age=0) as running:
        assert running.connect() == {"stored": "1", "calls": 1, "open": False}
        restart(server)
        assert running.connect() == {"stored": "2", "calls": 1, "open": False}


def test_a_mistake_of_the_site_is_one(server):
    with site(server, raises=True) as running:
        fields = running.connect()
    assert fields["error"] == "storage_failed"
    assert fields["calls"] == 2
