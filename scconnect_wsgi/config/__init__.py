"""Configure SCConnect without code: from SCCONNECT_* environment variables, or an ini file.

    application = from_env(application)  # SCCONNECT_CLIENT_ID, SCCONNECT_SECRET_KEY, ...

    [filter:connect]
    use = egg:scconnect-wsgi
    client_id = ...

With the option ``store`` this is ``Connections.wrap``, otherwise an SCConnect. A background worker
gets the same connections from ``connections_from_env()``. A site that wires the middleware in code
takes its flow from there:

    flow = flow_from_env()
    flow = flow_from_settings(settings)  # scconnect.client_id, ... in a Pyramid ini file

and the options of the middleware, such as secret_key, by ``options_from_env()`` or
``options_from_settings(settings)``.

Inside, ``_options`` is the table of every option, and ``_readers`` turns an option's text into a
value. ``_names`` knows misspelt names, ``_chains`` the sections that use another one, and
``_sandbox`` puts the sandbox in the provider's place. ``_settings`` parses all of it and collects
what is wrong, ``_store`` makes a store, and ``_factories`` builds the middleware.
"""

from scconnect_wsgi.config._chains import sections_used
from scconnect_wsgi.config._factories import (
    build,
    connections_from_env,
    filter_app_factory,
    flow_from_env,
    flow_from_settings,
    from_env,
    options_from_env,
    options_from_settings,
)
from scconnect_wsgi.config._sandbox import sandbox_environment, sandbox_options
from scconnect_wsgi.config._settings import Settings, from_environ, from_section

# `Settings`, `build`, `from_environ`, `from_section` and the last three are for the command line.
__all__ = [
    "Settings",
    "build",
    "connections_from_env",
    "filter_app_factory",
    "flow_from_env",
    "flow_from_settings",
    "from_env",
    "from_environ",
    "from_section",
    "options_from_env",
    "options_from_settings",
    "sandbox_environment",
    "sandbox_options",
    "sections_used",
]
