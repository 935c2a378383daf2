"""Tests of current_user, for Django's own test runner: the middleware's view of Django's users."""

import webob
from django.conf import settings
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.test import TestCase, override_settings

from scconnect_wsgi.django import current_user

ENGINES = ["db", "cached_db", "cache", "file", "signed_cookies"]
OTHER_KEY = "another-key-of-43-letters-for-these-tests-1"


class CurrentUser(TestCase):
    def setUp(self):
        self.joe = User.objects.create_user("joe", password="a password")
        self.pk = str(self.joe.pk)

    def seen(self, cookie=None):
        """Return the user that the middleware sees: of the client's browser, or with a cookie."""
        if cookie is None:
            cookie = self.client.cookies.output(attrs=[], header="", sep=";")
        return current_user(webob.Request.blank("/", headers={"Cookie": cookie}))

    def test_it_works_with_every_session_engine(self):
        for engine in ENGINES:
            with (
                self.subTest(engine),
                override_settings(SESSION_ENGINE=f"django.contrib.sessions.backends.{engine}"),
            ):
                self.client.cookies.clear()
                self.assertIsNone(self.seen())
                self.client.force_login(self.joe)
                self.assertEqual(self.seen(), self.pk)
                cookie = f"sessionid={self.client.cookies['sessionid'].value}x"
                self.assertIsNone(self.seen(cookie))
                self.client.logout()
                self.assertIsNone(self.seen())

    def test_cookies_that_name_no_session_are_nobodys(self):
        for cookie in ("", "sessionid=", "sessionid=x", f"sessionid={'x' * 32}", "sessionid=ä\0"):
            self.assertIsNone(self.seen(cookie))

    def test_of_two_cookies_it_takes_the_one_that_django_takes(self):
        self.client.force_login(self.joe)
        mine = f"sessionid={self.client.cookies['sessionid'].value}"
        for cookie in (f"{mine}; sessionid=other-one", f"sessionid=other-one; {mine}"):
            self.client.cookies.clear()
            page = self.client.get("/who", headers={"Cookie": cookie}).content.decode()
            self.assertEqual(self.seen(cookie) or "nobody", page)

    @override_settings(SESSION_COOKIE_NAME="mine")
    def test_the_cookie_may_have_another_name(self):
        self.client.force_login(self.joe)
        self.assertEqual(self.seen(), self.pk)

    def test_a_session_ends_with_the_password(self):
        self.client.force_login(self.joe)
        self.joe.set_password("a new one")
        self.joe.save()
        self.assertIsNone(self.seen())
        self.assertEqual(Session.objects.count(), 1)  # Django itself ends it, and tells the browser

    def test_a_user_who_was_deactivated_is_nobody(self):
        self.client.force_login(self.joe)
        User.objects.update(is_active=False)
        self.assertIsNone(self.seen())

    def test_a_session_of_a_backend_that_is_gone_is_nobodys(self):
        self.client.force_login(self.joe)
        with override_settings(AUTHENTICATION_BACKENDS=["another.Backend"]):
            self.assertIsNone(self.seen())

    def test_a_new_secret_key_signs_nobody_out(self):
        self.client.force_login(self.joe)
        old = settings.SECRET_KEY
        with override_settings(SECRET_KEY=OTHER_KEY, SECRET_KEY_FALLBACKS=[old]):
            self.assertEqual(self.seen(), self.pk)
            self.assertEqual(self.client.get("/who").content.decode(), self.pk)
            self.assertEqual(self.seen(), self.pk)

    def test_it_leaves_the_request_as_it_is(self):
        request = webob.Request.blank("/caf%C3%A9", headers={"Cookie": "sessionid=x"})
        before = dict(request.environ)
        current_user(request)
        self.assertEqual(request.environ, before)
