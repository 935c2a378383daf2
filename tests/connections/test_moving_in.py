"""docs/moving-in.md runs on the real tables of each library, filled by the library itself."""

import json
import re
import signal
import subprocess
import sys
from contextlib import ExitStack
from dataclasses import dataclass

import pytest
import requests
from support.browser import Browser
from support.commands import environment
from support.flows import CALLBACK, flow_for
from support.paths import CHECKOUT, TESTS
from support.responses import query

from scconnect_wsgi.connections import Connections
from scconnect_wsgi.sandbox import Sandbox, serve
from scconnect_wsgi.stores.sql import SQLStore

pytestmark = [pytest.mark.moving, pytest.mark.slow]

PAGE = (CHECKOUT / "docs" / "moving-in.md").read_text("utf-8")
MOVE_IN, ALLAUTH, SOCIAL_DJANGO, SOCIAL_SQLALCHEMY, FLASK_DANCE, OLD_CLIENT = re.findall(
    r"^```python\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE
)
# The part of it that both of social-core's storages have
READ_SOCIAL_CORE = SOCIAL_DJANGO[SOCIAL_DJANGO.index("def ") : SOCIAL_DJANGO.index("move_in(")]
SCRIPTS = TESTS / "support" / "moving"
WITHIN = 120  # seconds; a script takes two on an idle machine
SITE = """
from scconnect_wsgi import OAuth2
from scconnect_wsgi.sandbox import Sandbox
from scconnect_wsgi.stores.sql import SQLStore

flow = OAuth2("sandbox-client", "sandbox-secret", provider=Sandbox().oauth2_provider("{url}"))
store = SQLStore("sqlite:///connections.sqlite3")
"""
PYTHON = [sys.executable, "-"]
DJANGO = [sys.executable, "-m", "django", "shell"]


@dataclass
class Library:
    """How a library's tables are filled, and what is run to move out of them."""

    name: str
    fill: str
    run: list[str]
    script: str
    accounts: int = 2  # of one user, at most


LIBRARIES = [
    Library("allauth", "django_tables.py", DJANGO, ALLAUTH),
    Library("social-django", "django_tables.py", DJANGO, SOCIAL_DJANGO),
    Library(
        "social-sqlalchemy",
        "sqlalchemy_tables.py",
        PYTHON,
        "from sqlalchemy_tables import UserSocialAuth, session\n\n"
        + READ_SOCIAL_CORE
        + SOCIAL_SQLALCHEMY,
    ),
    Library(
        "flask-dance",
        "sqlalchemy_tables.py",
        PYTHON,
        "from sqlalchemy_tables import OAuth, session\n\n" + FLASK_DANCE,
        accounts=1,
    ),
    Library(
        "old-client",
        "old_client.py",
        PYTHON,
        'import sqlite3\n\ndatabase = sqlite3.connect("site.sqlite3")\n' + OLD_CLIENT,
    ),
]


class Move:
    """A site with a library, in a folder of its own, and its provider."""

    def __init__(self, library, folder):
        self.library = library
        self.folder = folder
        self.sandbox = Sandbox()
        self.url = ""
        self.rows = []
        self.process = None
        self.accounts_until_killed = 0

    def provider(self, environ, start_response):
        """Be the provider, also at the old client's address, and kill the script if it is time."""
        if environ["PATH_INFO"] == "/oauth2/token":
            environ["PATH_INFO"] = "/oauth/token"
        if environ["PATH_INFO"] == "/me" and self.accounts_until_killed:
            self.accounts_until_killed -= 1
            if self.accounts_until_killed == 0:
                self.process.kill()
        return self.sandbox(environ, start_response)

    def connect(self, name):
        """Return what the provider answers when a new user connects, and the urn of the account."""
        flow = flow_for("oauth2", self.url)
        departure = flow.begin(CALLBACK)
        with Browser() as browser:
            browser.sign_up(self.url, name)
            back = query(browser.decide(departure.authorize_url, user=name))
        token = flow.finish(CALLBACK, back, departure.pending)
        headers = {"Authorization": f"OAuth {token.token}"}
        with requests.Session() as session:
            session.trust_env = False
            account = session.get(f"{self.url}/me", headers=headers, timeout=30).json()
        answer = {"access_token": token.token, "refresh_token": token.refresh_token}
        return {**answer, "expires_in": 3599, "scope": "*", "token_type": "Bearer"}, account["urn"]

    def add(self, user, name, *, has_urn=True, **changes):
        """Have the library keep the token of a new account, with ``changes`` to the answer."""
        answer, urn = self.connect(name)
        self.rows.append(
            {
                "library": self.library.name,
                "user": user,
                "uid": urn if has_urn else urn.rpartition(":")[2],
                "answer": {k: value for k, value in {**answer, **changes}.items() if value},
            }
        )

    def fill(self):
        command = [sys.executable, str(SCRIPTS / self.library.fill), self.url]
        code, _, errors = self.run(command, json.dumps(self.rows))
        assert code == 0, errors

    def move_in(self):
        """Run the script, and return its exit status and what it prints."""
        script = SITE.format(url=self.url) + MOVE_IN + "\n" + self.library.script
        code, printed, errors = self.run(self.library.run, script)
        assert code <= 0, errors
        # Django 5.2 begins with what it has imported
        return code, [line for line in printed.splitlines() if ": " in line]

    def run(self, command, given):
        package = environment()["PYTHONPATH"]
        variables = environment(
            DJANGO_SETTINGS_MODULE="django_settings", PYTHONPATH=f"{package}:{SCRIPTS}"
        )
        self.process = subprocess.Popen(
            command,
            cwd=self.folder,
            env=variables,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        with self.process:
            printed, errors = self.process.communicate(given, timeout=WITHIN)
        return self.process.returncode, printed, errors

    def connected(self):
        """Return which user has which account, of those whose connection works."""
        store = SQLStore(f"sqlite:///{self.folder}/connections.sqlite3")
        connections = Connections(flow_for("oauth2", self.url), store)
        found = []
        for connection in connections.all():
            with connections.session(connection.id, user=connection.user) as session:
                found.append((connection.user, session.me().username))
        store.close()
        return sorted(found)


@pytest.fixture
def started(tmp_path):
    """Return a function that makes a site with a library."""
    with ExitStack() as stack:

        def start(library):
            move = Move(library, tmp_path)
            move.url = stack.enter_context(serve(move.provider)).url
            return move

        yield start


@pytest.mark.parametrize("library", LIBRARIES, ids=lambda library: library.name)
def test_every_row_moves_in_that_can(library, started):
    move = started(library)
    expected = [("1", "first"), ("2", "known-by-number"), ("5", "without-refresh-token")]
    move.add(1, "first")
    move.add(2, "known-by-number", has_urn=False)
    move.add(3, "expired-and-none", refresh_token=None)
    move.add(4, "revoked", refresh_token="no-longer-accepted-by-anybody")
    if library.accounts > 1:
        move.add(1, "second")
        expected.insert(1, ("1", "second"))
    move.sandbox.expire()
    move.add(5, "without-refresh-token", refresh_token=None)
    move.fill()
    code, lost = move.move_in()
    assert code == 0
    assert sorted(line.split(": ")[1] for line in lost) == ["ConnectionRevoked", "ProviderError"]
    assert [
        line for line in lost for row in move.rows if row["answer"]["access_token"] in line
    ] == []
    assert move.connected() == expected


def test_a_script_that_is_interrupted_goes_on(started):
    move = started(LIBRARIES[-1])
    for user, name in enumerate(("first", "second", "third")):
        move.add(user, name)
    move.sandbox.expire()
    move.fill()
    before = move.sandbox.counts["redeemed"]
    # The second new token is in the store by then, and its account is not known yet
    move.accounts_until_killed = 2
    assert move.move_in() == (-signal.SIGKILL, [])
    for _ in range(2):
        assert move.move_in() == (0, [])
        assert move.connected() == [("0", "first"), ("1", "second"), ("2", "third")]
        assert move.sandbox.counts["redeemed"] - before == 3


def test_rows_that_name_nobody_or_nothing_stop_no_script(started):
    move = started(LIBRARIES[-1])
    move.add(1, "first")
    move.rows += [
        {"user": user, "answer": answer}
        for user, answer in (
            (None, move.rows[0]["answer"]),
            (2, {}),
            (3, {"access_token": ""}),
            (4, {"access_token": "a", "expires_at": "soon"}),
            (5, {"scope": "*"}),
        )
    ]
    move.fill()
    code, lost = move.move_in()
    assert code == 0
    named = [line.split(": ")[:2] for line in lost]
    assert named == [
        ["row 2, user None", "NotSignedIn"],
        ["row 3, user unknown", "ValueError"],
        ["row 4, user unknown", "ValueError"],
        ["row 5, user unknown", "ValueError"],
        ["row 6, user unknown", "ValueError"],
    ]
    assert move.connected() == [("1", "first")]


def test_every_snippet_is_run():
    scripts = MOVE_IN + "".join(library.script for library in LIBRARIES)
    for snippet in (ALLAUTH, SOCIAL_DJANGO, SOCIAL_SQLALCHEMY, FLASK_DANCE, OLD_CLIENT):
        assert snippet in scripts
