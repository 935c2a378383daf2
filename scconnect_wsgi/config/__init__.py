"""Configure SCConnect without code: from SCCONNECT_* environment variables, or an ini file.

    application = from_env(application)  # SCCONNECT_CLIENT_ID, SCCONNECT_SECRET_KEY, ...

    [filter:connect]
    use = egg:scconnect-wsgi
    client_id = ...

Inside, ``_options`` is the table of every option, ``_readers`` turns an option's text into a value,
``_settings`` parses all of them and collects what is wrong, and ``_factories`` builds the
middleware.
"""

from scconnect_wsgi.config._factories import build, filter_app_factory, from_env
from scconnect_wsgi.config._settings import from_environ

# `build` and `from_environ` are for the command line.
__all__ = ["build", "filter_app_factory", "from_env", "from_environ"]
