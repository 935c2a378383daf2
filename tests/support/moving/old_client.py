"""Fill a site's table with what the old soundcloud client has of tokens, for test_moving_in.py.

The rows are JSON on stdin, and the provider's address is the first argument. The client gets a
token where it can: it refreshes the one that it is given. A provider refuses some of the rows.
"""

import json
import sqlite3
import sys
from contextlib import closing
from urllib.parse import urlsplit

import requests
import soundcloud


def fields(answer):
    options = {
        "client_id": "sandbox-client",
        "client_secret": "sandbox-secret",
        "host": urlsplit(sys.argv[1]).netloc,
        "use_ssl": False,
        "proxies": {"http": None, "no_proxy": "*"},
        "refresh_token": answer.get("refresh_token", "none"),
    }
    try:
        return soundcloud.Client(**options).token.fields()
    except requests.HTTPError:
        return answer


with closing(sqlite3.connect("site.sqlite3")) as database, database:
    database.execute("CREATE TABLE soundcloud_tokens (user_id integer, token text)")
    for row in json.load(sys.stdin):
        values = [row["user"], json.dumps(fields(row["answer"]))]
        database.execute("INSERT INTO soundcloud_tokens VALUES (?, ?)", values)
