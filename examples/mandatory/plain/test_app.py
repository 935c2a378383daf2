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


def test_a_sign_up_leads_to_its_last_step(application):
    assert "Sign up" in page(application).text
    answer = page(application, "/sign-up", name="<pat>")
    cookie, _, attributes = answer.headers["Set-Cookie"].partition(";")
    assert "HttpOnly" in attributes
    last_step = page(application, headers={"Cookie": cookie}).text
    assert "&lt;pat&gt;, one step is left" in last_step


def test_a_sign_up_ends_with_a_connected_account(application, soundcloud, pat):
    soundcloud.refuse(application, headers=pat)
    assert "one step is left" in page(application, headers=pat).text
    soundcloud.connect(application, headers=pat)
    assert "You are Joe Sample on SoundCloud" in page(application, headers=pat).text


def test_a_user_who_takes_the_permission_back_is_asked_again(application, soundcloud, pat):
    soundcloud.connect(application, headers=pat)
    soundcloud.revoke("joe")
    assert "one step is left" in page(application, headers=pat).text
    soundcloud.connect(application, headers=pat)
    assert "Welcome, pat" in page(application, headers=pat).text


def test_nobody_is_asked_again_because_soundcloud_is_down(application, soundcloud, pat):
    soundcloud.connect(application, headers=pat)
    with soundcloud.misbehaving("status=503"):
        assert "cannot be reached" in page(application, headers=pat).text
    assert "Welcome, pat" in page(application, headers=pat).text
