"""Tests of DjangoStore in a site, for Django's own test runner: views, DEBUG, mistakes."""

from django.db import connection as database
from django.db import transaction
from django.test import TransactionTestCase, override_settings

from scconnect_wsgi import AccessToken
from scconnect_wsgi.django import DjangoStore
from scconnect_wsgi.errors import ConfigurationError
from scconnect_wsgi.stores import Connection

TOKEN = "an-access-token-that-nobody-may-see"


def save_one():
    return DjangoStore().save(Connection("1", "joe", "https://api.example", AccessToken(TOKEN)))


class InASite(TransactionTestCase):
    def setUp(self):
        self.addCleanup(database.settings_dict.update, ATOMIC_REQUESTS=False, CONN_MAX_AGE=0)

    def test_a_view_uses_it(self):
        save_one()
        self.assertEqual(self.client.get("/count").content, b"1")

    def test_atomic_requests_are_refused_and_the_error_says_how_to_leave_them(self):
        database.settings_dict["ATOMIC_REQUESTS"] = True
        with self.assertRaisesMessage(RuntimeError, "non_atomic_requests"):
            self.client.get("/count")
        self.assertEqual(self.client.get("/count-outside").content, b"0")

    def test_nothing_is_written_inside_of_a_transaction(self):
        with transaction.atomic(), self.assertRaisesMessage(RuntimeError, "transaction"):
            save_one()
        self.assertEqual(DjangoStore().of_user("joe"), [])

    def test_nothing_is_written_while_the_site_commits_itself(self):
        transaction.set_autocommit(False)
        self.addCleanup(transaction.set_autocommit, True)
        with self.assertRaisesMessage(RuntimeError, "with autocommit"):
            save_one()

    def test_it_leaves_no_connection_open_that_may_not_persist(self):
        for age, is_open in ((0, False), (600, True), (None, True)):
            database.close()
            database.settings_dict["CONN_MAX_AGE"] = age
            DjangoStore().of_user("joe")
            self.assertEqual(database.connection is not None, is_open, age)

    def test_it_leaves_a_connection_open_that_the_site_has_opened(self):
        database.ensure_connection()
        opened = database.connection
        DjangoStore().of_user("joe")
        self.assertIs(database.connection, opened)

    @override_settings(DEBUG=True)
    def test_debug_shows_no_token(self):
        with self.assertLogs("django.db.backends", "DEBUG") as logged:
            DjangoStore().save(save_one())
            with database.cursor() as cursor:
                cursor.execute("SELECT 'a statement of the site'")
        self.assertIn("a statement of the site", str(logged.output))
        self.assertNotIn(TOKEN, str(logged.output))
        self.assertNotIn(TOKEN, str(database.queries))


class Mistakes(TransactionTestCase):
    def test_an_alias_that_is_not_there(self):
        with self.assertRaisesMessage(ConfigurationError, "using must be an alias"):
            DjangoStore("replica")

    def test_an_app_that_is_not_installed(self):
        with (
            self.settings(INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes"]),
            self.assertRaisesMessage(ConfigurationError, '"scconnect_wsgi.django"'),
        ):
            DjangoStore()
