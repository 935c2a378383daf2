"""python wsgiref_serve.py

The standard library's server, with a thread a request: for trying things out, not for the public.
"""

import contextlib
from socketserver import ThreadingMixIn
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from mysite import application


class Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class Handler(WSGIRequestHandler):
    def log_request(self, code="-", size="-"):
        # The path without its query: the callback's query holds the code that is good for a token.
        self.log_message('"%s %s" %s', self.command, self.path.partition("?")[0], str(code))


with (
    make_server("localhost", 8000, application, Server, Handler) as server,
    contextlib.suppress(KeyboardInterrupt),
):
    server.serve_forever()
