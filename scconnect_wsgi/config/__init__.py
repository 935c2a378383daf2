"""Configure SCConnect without code: from SCCONNECT_* environment variables, or an ini file.

    application = from_env(application)  # SCCONNECT_CLIENT_ID, SCCONNECT_SECRET_KEY, ...

    [filter:connect]
    use = egg:scconnect-wsgi
    client_id = ...

Inside, ``options`` is the table of every option, ``readers`` turns an option's text into a value,
``settings`` parses all of them and collects what is wrong, and ``factories`` builds the middleware.
"""

from scconnect_wsgi.config.factories import filter_app_factory, from_env

__all__ = ["filter_app_factory", "from_env"]
