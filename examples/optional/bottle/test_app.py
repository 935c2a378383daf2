import pathlib
import runpy

import pytest
from itsdangerous import URLSafeTimedSerializer
from webob import Request

KEY = "a-key-of-43-letters-which-is-for-tests-only"


@pytest.fixture
def application(soundcloud, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    for name, value in {**soundcloud.environ, "SCCONNECT_SECRET_KEY": KEY}.items():
        monkeypatch.setenv(name, value)
    site = runpy.run_path(str(pathlib.Path(__file__).with_name("app.py")))
    yield site["application"]
    site["store"].close()


@pytest.fixture
def pat():
    session = URLSafeTimedSerializer(KEY, salt="session").dumps("pat")
    return {"Cookie": f"session={session}"}


def page(application, path="/", headers=None, **form):
    request = Request.blank(path, headers=headers, POST=form or None)
    return request.get_response(application)


def test_a_user_signs_in(application):
    answer = page(application, "/sign-in", name="pat")
    cookie, _, attributes = answer.headers["Set-Cookie"].partition(";")
    assert "httponly" in attributes.lower()
    assert "Signed in as pat" in page(application, headers={"Cookie": cookie}).text


def test_a_made_up_session_signs_nobody_in(application):
    assert "Signed in" not in page(application, headers={"Cookie": "session=pat"}).text


def test_a_user_connects_sees_the_tracks_and_disconnects(application, soundcloud, pat):
    assert "Connected as" not in page(application, headers=pat).text
    fields = soundcloud.connect(application, headers=pat).fields
    id = fields["oauth_token_id"]
    assert "Connected as joe" in page(application, headers=pat).text
    assert "Night Bus (demo)" in page(application, f"/tracks/{id}", pat).json["titles"]
    for _ in range(2):
        assert page(application, "/disconnect", pat, id=id).status_code < 400
    assert "Connected as" not in page(application, headers=pat).text


def test_a_connection_that_has_ended_is_not_shown(application, soundcloud, pat):
    id = soundcloud.connect(application, headers=pat).fields["oauth_token_id"]
    soundcloud.revoke("joe")
    assert page(application, f"/tracks/{id}", pat).status_code == 404
    assert "Connected as" not in page(application, headers=pat).text


def test_a_stranger_sees_nobodys_tracks(application, soundcloud, pat):
    id = soundcloud.connect(application, headers=pat).fields["oauth_token_id"]
    assert page(application, f"/tracks/{id}").status_code == 404
