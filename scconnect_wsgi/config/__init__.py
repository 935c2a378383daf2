"""Configure SCConnect without code: from SCCONNECT_* environment variables, or from a section
of a PasteDeploy ini file.

    application = from_env(application)  # SCCONNECT_CLIENT_ID, SCCONNECT_SECRET_KEY, ...

    [filter:connect]
    use = egg:scconnect-wsgi
    client_id = ...

``options`` is the table of every option; ``settings`` reads values by that table and builds
the middleware.
"""

from scconnect_wsgi.config.settings import filter_app_factory, from_env

__all__ = ["filter_app_factory", "from_env"]
