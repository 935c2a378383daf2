"""A call for each line on stdin, while the database is killed and started: see test_store.py."""

import django
from django.core.management import call_command
from django.db import transaction

from scconnect_wsgi.django import DjangoStore


def answers(store, line):
    try:
        if line == "in a transaction":
            with transaction.atomic():
                store.claim("a flow", 60)
        else:
            store.of_user("joe")
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return "done"


if __name__ == "__main__":
    django.setup()
    call_command("migrate", verbosity=0)
    for line in iter(input, "end"):
        print(answers(DjangoStore(), line), flush=True)
