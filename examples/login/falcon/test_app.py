import pathlib
import runpy

import pytest
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


def page(application, cookies):
    header = "; ".join(f"{name}={value}" for name, value in cookies.items())
    return Request.blank("/", headers={"Cookie": header}).get_response(application).text


def test_whoever_connects_is_logged_in(application, soundcloud):
    joe = soundcloud.connect(application, "joe").cookies
    ann = soundcloud.connect(application, "ann").cookies
    assert "Logged in as joe" in page(application, joe)
    assert "Logged in as ann" in page(application, ann)


def test_a_stranger_is_nobody(application, soundcloud):
    refused = soundcloud.refuse(application)
    assert "Nobody is logged in" in page(application, refused.cookies)
    assert "Nobody is logged in" in page(application, {"session": "joe"})
