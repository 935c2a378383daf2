"""docs/store-token.md, docs/hand-over.md and docs/providers.md run, with a user who connects."""

import ast
from typing import Any

import pytest
from support.documentation import snippet, snippets
from support.site import KEY, page_of_the_site

import scconnect_wsgi
from scconnect_wsgi import SCConnect
from scconnect_wsgi.testing import SoundCloud


def run(page, word, names):
    exec(compile(snippet(page, "python", word), f"docs/{page}", "exec"), names)


def test_a_token_is_stored_by_the_site_itself(soundcloud, monkeypatch):
    for name, value in soundcloud.environ.items():
        monkeypatch.setenv(name, value)
    tokens: list[dict[str, Any]] = []
    names = {
        "application": page_of_the_site,
        "TOKENS": tokens,
        "SECRET_KEY": KEY,
        "BASE_URL": None,
    }
    run("store-token.md", "def store_token", names)
    assert soundcloud.connect(names["application"]).fields == {"oauth_token_id": "1"}
    assert {"token", "token_secret", "refresh_token", "expires_at", "scope", "extra"} <= set(
        tokens[0]
    )


@pytest.mark.frameworks
def test_a_flask_site_answers_itself(soundcloud: SoundCloud):
    import flask

    app = flask.Flask("a site", static_folder=None)
    app.secret_key = KEY

    def find_or_create_user(token):
        class User:
            urn = "soundcloud:users:743372812"
            name = "joe"

        return User

    names = {
        "flask": flask,
        "app": app,
        "flow": soundcloud.oauth2(),
        "SCConnect": SCConnect,
        "HAND_OVER": scconnect_wsgi.HAND_OVER,
        "find_or_create_user": find_or_create_user,
        "SECRET_KEY": KEY,
        "BASE_URL": None,
    }
    run("hand-over.md", "def connected", names)
    connected = soundcloud.connect(app)
    assert connected.fields == {"username": "joe"}
    assert "session" in connected.cookies


def test_the_descriptions_of_providers_are_accepted():
    names = {
        **vars(scconnect_wsgi),
        "CLIENT_ID": "client",
        "CLIENT_SECRET": "a secret",
        "CONSUMER_KEY": "client",
        "CONSUMER_SECRET": "a secret",
    }
    run("providers.md", "OAuth2Provider", names)
    assert names["flow"].provider.name == "Example"
    run("providers.md", "OAuth1Provider", names)
    assert names["flow"].provider.signature_method == "PLAINTEXT"


@pytest.mark.parametrize(
    ("page", "count"), [("store-token.md", 1), ("hand-over.md", 1), ("providers.md", 2)]
)
def test_every_snippet_is_run(page, count):
    assert len(snippets(page, "python")) == count
    for text in snippets(page, "py"):
        ast.parse(text)
