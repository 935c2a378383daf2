"""The contract of a store, for Django's own test runner."""

from django.db import connections
from django.test import TransactionTestCase

from scconnect_wsgi.django import DjangoStore
from scconnect_wsgi.encryption import Encryption
from scconnect_wsgi.testing import StoreContract

KEY = "a key that is as long as keys have to be"


class TestDjangoStore(StoreContract, TransactionTestCase):
    available_apps = ("scconnect_wsgi.django._app",)  # only their tables are emptied, which is fast

    def store(self):
        return DjangoStore()

    def thread_ends(self):
        connections.close_all()


class TestEncryptedDjangoStore(TestDjangoStore):
    def store(self):
        return DjangoStore(encryption=Encryption(KEY))
