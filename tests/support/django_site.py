"""A site that stores tokens with Django's ORM, for test_django_storage.py, in a process of its own.

Its settings are JSON in the first argument. For each line on stdin it lets a user connect, and
prints what the page's callback gets and how often ``store_token`` was called.
"""

import json
import sys

import django
from django.conf import settings
from django.db import connection

from scconnect_wsgi import SCConnect
from scconnect_wsgi.testing import SoundCloud
from support.site import KEY, page_of_the_site


def main(database, max_age, identifies, raises):
    settings.configure(DATABASES={"default": {**database, "CONN_MAX_AGE": max_age}})
    django.setup()
    calls = []

    def execute(statement, *values):
        with connection.cursor() as cursor:
            cursor.execute(statement, values)
            return cursor.fetchone()[0] if cursor.description else None

    def identify(request):
        return execute("SELECT 'joe'")

    def store_token(token, request):
        calls.append(token)
        execute("INSERT INTO tokens VALUES (%s)", token.token)
        if raises:
            raise ValueError("a mistake of the site")
        return {"stored": execute("SELECT count(*) FROM tokens")}

    execute("DROP TABLE IF EXISTS tokens")
    execute("CREATE TABLE tokens (token text)")
    with SoundCloud() as soundcloud:
        app = SCConnect(
            page_of_the_site,
            soundcloud.oauth2(),
            secret_key=KEY,
            store_token=store_token,
            identify=identify if identifies else None,
        )
        print("ready", flush=True)
        for _ in sys.stdin:
            calls.clear()
            fields = dict(soundcloud.connect(app).fields)
            is_open = connection.connection is not None
            print(json.dumps({**fields, "calls": len(calls), "open": is_open}), flush=True)


if __name__ == "__main__":
    main(**json.loads(sys.argv[1]))
