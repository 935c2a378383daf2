"""The tests of the site, against a SoundCloud that runs in this process: manage.py test"""

from django.contrib.auth.models import User
from django.core import mail
from django.test import Client, TestCase

from mysite.soundcloud import make_application, make_connections
from scconnect_wsgi.testing import SoundCloud

NEW_USER = {
    "username": "joe",
    "email": "joe@site.example",
    "password1": "a long one for joe",
    "password2": "a long one for joe",
}


class SiteTests(TestCase):
    def setUp(self):
        self.soundcloud = self.enterContext(SoundCloud())
        connections = make_connections(self.soundcloud.oauth2())
        self.site = make_application(connections)
        # Django's client calls the views without the middleware in front of them
        self.client = Client(**{"scconnect.connections": connections})

    def sign_up(self):
        return self.client.post("/signup/", NEW_USER, follow=True)

    def headers(self):
        """Return what the user's browser sends, so that the button knows who presses it."""
        return {"Cookie": f"sessionid={self.client.cookies['sessionid'].value}"}

    def connect(self):
        return self.soundcloud.connect(self.site, headers=self.headers())

    def test_a_sign_up_ends_with_a_connected_account(self):
        self.assertContains(self.sign_up(), "One step is left")
        self.assertRedirects(self.client.get("/"), "/connect/")
        self.assertEqual(self.connect().fields["username"], "joe")
        self.assertContains(self.client.get("/"), "Night Bus")
        self.assertRedirects(self.client.get("/connect/"), "/")

    def test_a_sign_up_that_was_broken_off_goes_on_at_the_next_login(self):
        self.sign_up()
        self.client.post("/logout/")
        login = {"username": "joe", "password": NEW_USER["password1"]}
        page = self.client.post("/login/", login, follow=True)
        self.assertContains(page, "One step is left")

    def test_a_user_who_says_no_is_asked_again(self):
        self.sign_up()
        refused = self.soundcloud.refuse(self.site, headers=self.headers())
        self.assertEqual(refused.fields["error"], "access_denied")
        page = self.client.get("/connect/", {"error": "access_denied"})
        self.assertContains(page, "You did not allow the connection")

    def test_a_user_who_takes_the_permission_back_connects_again_and_has_lost_nothing(self):
        self.sign_up()
        first = self.connect().fields
        self.soundcloud.revoke("joe")
        page = self.client.get("/", follow=True)
        self.assertContains(page, "Connect your account again")
        self.assertEqual([message.to for message in mail.outbox], [["joe@site.example"]])
        self.assertRedirects(self.client.get("/"), "/connect/")
        self.assertEqual(self.connect().fields, first)
        self.assertContains(self.client.get("/"), "Night Bus")
        self.assertEqual(User.objects.count(), 1)

    def test_a_bad_day_of_soundcloud_sends_nobody_away(self):
        self.sign_up()
        self.connect()
        with self.soundcloud.misbehaving("status=503"):
            self.assertContains(self.client.get("/"), "SoundCloud does not answer")
        self.assertEqual(mail.outbox, [])

    def test_a_stranger_sees_nothing(self):
        self.assertRedirects(self.client.get("/"), "/login/?next=/")
