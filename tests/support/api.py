"""An API that answers what a test tells it to, and bodies to send to it."""

from __future__ import annotations

import io
import threading
from types import SimpleNamespace


class Recorded:
    """An API that answers what a test tells it to, and remembers what it was asked."""

    def __init__(self):
        self.url = ""
        self.asked = []
        self.answers = {}
        self.lock = threading.Lock()

    def __call__(self, environ, start_response):
        length = int(environ.get("CONTENT_LENGTH") or 0)
        headers = {name[5:]: value for name, value in environ.items() if name.startswith("HTTP_")}
        query = f"?{environ['QUERY_STRING']}" if environ["QUERY_STRING"] else ""
        with self.lock:
            path = environ["PATH_INFO"] + query
            body = environ["wsgi.input"].read(length)
            self.asked.append(
                SimpleNamespace(
                    method=environ["REQUEST_METHOD"], path=path, headers=headers, body=body
                )
            )
            answers = self.answers.get(path, [("200 OK", {}, b"{}")])
            status, headers, body = answers.pop(0) if len(answers) > 1 else answers[0]
        start_response(status, [("Content-Length", str(len(body))), *headers.items()])
        return [body]

    def say(self, path, *answers):
        self.answers[path] = [
            (status, {"Content-Type": "application/json", **headers}, body.encode())
            for status, headers, body in answers
        ]

    def lines(self):
        """Return what was asked, as "GET /me"."""
        return [f"{one.method} {one.path}" for one in self.asked]


class Once:
    """A body that is read while it is sent, and cannot be wound back."""

    def __init__(self, data):
        self._file = io.BytesIO(data)
        self._length = len(data)

    def __len__(self):
        return self._length

    def __iter__(self):
        return iter(self._file)

    def read(self, size=-1):
        return self._file.read(size)
