"""The demo: a site with the button, one SCConnect for each protocol, and the sandbox to connect to.

    with start(port=8000, protocols=["oauth2", "oauth1"]) as demo:
        print(demo.url)

Inside, ``_run`` puts the parts together, ``_site`` is the wrapped application, ``_account`` calls
the API with a stored token, and ``_tokens`` keeps the tokens in SQLite.
"""

from scconnect_wsgi.demo._run import Demo, start

__all__ = ["Demo", "start"]
