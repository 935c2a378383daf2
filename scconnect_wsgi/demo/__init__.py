"""The demo: a site with the button, one SCConnect for each protocol, and the sandbox to connect to.

    with start(port=8000, protocols=["oauth2", "oauth1"]) as demo:
        print(demo.url)

Inside, ``_run`` puts the parts together: ``Connections`` with a MemoryStore for each protocol, and
the sandbox. ``_site`` is the wrapped application, ``_page`` its page, ``_tracks`` the call of the
API, and ``_days`` what a visitor can let go wrong at SoundCloud. The code to copy is in ``code/``.
"""

from scconnect_wsgi.demo._run import Demo, start

__all__ = ["Demo", "start"]
