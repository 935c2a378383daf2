"""A row is damaged in several ways, and then the server becomes read-only: see test_store.py."""

import django
from django.apps import apps
from django.core.management import call_command
from django.db import connection as database

from scconnect_wsgi import AccessToken
from scconnect_wsgi.django import DjangoStore
from scconnect_wsgi.errors import StoreUnavailable, Undecipherable
from scconnect_wsgi.stores import Connection

DAMAGED = ["", "5", "[]", "null", "{}", "[" * 100_000, '{"token": ', '{"token": 5}', "\N{SNOWMAN}"]


def expect(error, function, *arguments):
    try:
        function(*arguments)
    except error as raised:
        return raised
    raise AssertionError(f"{function} raised no {error.__name__}")


def main():
    call_command("migrate", verbosity=0)
    store = DjangoStore()
    token = AccessToken("an access token")
    one, two = (
        store.save(Connection(id, "joe", "https://api.example", token)) for id in ("1", "2")
    )
    rows = apps.get_model("scconnect", "StoredConnection").objects.filter(id=one.id)
    for column in ("token", "account"):
        whole = getattr(rows.get(), column)
        for text in [*DAMAGED, whole[:-3]]:
            if (column, text) == ("account", "{}"):
                continue  # an account of which nothing is known
            rows.update(**{column: text})
            damaged = expect(Undecipherable, store.load, one.id)
            assert damaged.user == "joe"
            assert damaged.__cause__ is None
            assert store.of_user("joe") == store.of_account("") == [two], text
            assert store.all("", 1) == [two], text
        rows.update(**{column: whole})
    assert store.of_user("joe") == [one, two]
    if database.vendor == "postgresql":
        with database.cursor() as cursor:  # what the clients of a demoted primary find
            cursor.execute("SET default_transaction_read_only = on")
        expect(StoreUnavailable, store.save, two)
        store.save(two)
    print("done")


if __name__ == "__main__":
    django.setup()
    main()
