"""The tests of the site, with pytest and the fixture of scconnect-wsgi."""

import pytest
import webob
from mysite import make_application

from scconnect_wsgi.stores import MemoryStore


@pytest.fixture
def site(soundcloud):
    settings = {"scconnect.secret_key": "a-key-of-43-letters-which-is-for-tests-only"}
    return make_application(soundcloud.oauth2(), MemoryStore(), settings)


def get(site, path, cookies=None):
    """Return what a browser with these cookies gets."""
    request = webob.Request.blank(path)
    for name, value in (cookies or {}).items():
        request.cookies[name] = value
    return request.get_response(site)


def test_strangers_see_the_button_and_nothing_else(site):
    assert "Log in with SoundCloud" in get(site, "/").text
    page = get(site, "/sounds")
    assert page.status_code == 401
    assert "return_to=/sounds" in page.text


def test_a_user_logs_in(site, soundcloud):
    joe = soundcloud.connect(site).cookies
    assert "Welcome, joe" in get(site, "/", joe).text
    assert "Night Bus" in get(site, "/sounds", joe).text


def test_a_user_who_says_no_is_a_stranger(site, soundcloud):
    refused = soundcloud.refuse(site)
    assert refused.fields["error"] == "access_denied"
    assert get(site, "/sounds", refused.cookies).status_code == 401
    assert "You did not allow the login" in get(site, "/sounds?error=access_denied").text


def test_a_user_who_takes_the_permission_back_logs_in_again(site, soundcloud):
    joe = soundcloud.connect(site).cookies
    soundcloud.revoke("joe")
    page = get(site, "/sounds", joe)
    assert page.status_code == 401
    assert "Log in again" in page.text
    joe = soundcloud.connect(site).cookies
    assert "Night Bus" in get(site, "/sounds", joe).text


def test_a_bad_day_of_soundcloud_logs_nobody_out(site, soundcloud):
    joe = soundcloud.connect(site).cookies
    with soundcloud.misbehaving("status=503"):
        assert get(site, "/sounds", joe).status_code == 503
    assert "Night Bus" in get(site, "/sounds", joe).text


def test_two_users_stay_apart(site, soundcloud):
    joe, ann = (soundcloud.connect(site, user).cookies for user in ("joe", "ann"))
    assert "Welcome, joe" in get(site, "/", joe).text
    assert "Welcome, ann" in get(site, "/", ann).text
