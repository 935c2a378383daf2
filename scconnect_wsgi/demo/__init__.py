"""The demo: a site with the button, one SCConnect for each protocol, and the sandbox to connect to.

    with start(port=8000, protocols=["oauth2", "oauth1"]) as demo:
        print(demo.url)

Inside, ``run`` puts the parts together, ``site`` is the wrapped application, ``account`` calls the
API with a stored token, and ``tokens`` keeps the tokens in SQLite.
"""

from scconnect_wsgi.demo.run import Demo, start

__all__ = ["Demo", "start"]
