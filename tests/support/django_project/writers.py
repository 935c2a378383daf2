"""Threads that write at once, for Django's own test runner."""

import threading

from django.db import connections
from django.test import TransactionTestCase

from scconnect_wsgi.django import DjangoStore
from scconnect_wsgi.errors import ConnectError
from scconnect_wsgi.stores import Connection
from scconnect_wsgi.token import AccessToken

THREADS = 4
WRITES = 10  # of each


class WritersTests(TransactionTestCase):
    available_apps = ("scconnect_wsgi.django._app",)

    def test_all_of_them_succeed(self):
        failed = []
        store = DjangoStore()

        def write(thread):
            for number in range(WRITES):
                id = f"{thread}-{number}"
                try:
                    store.claim(id, 60)
                    store.save(
                        Connection(
                            id=id,
                            user="joe",
                            api_url="https://api.example",
                            token=AccessToken("token"),
                            obtained_at=1,
                            callback_url="https://app.example/oauth/access_token",
                        )
                    )
                except ConnectError as error:
                    failed.append(error)
            connections.close_all()

        threads = [threading.Thread(target=write, args=(thread,)) for thread in range(THREADS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(failed, [])
        self.assertEqual(len(store.of_user("joe")), THREADS * WRITES)
