"""A site whose users are SoundCloud's: no passwords, no sign-up, no table of users."""

from pyramid.config import Configurator

from mysite.security import SoundCloudUsers
from scconnect_wsgi.config import flow_from_env, options_from_settings
from scconnect_wsgi.connections import Connections
from scconnect_wsgi.stores.sql import SQLStore


def main(global_config, **settings):
    """Return the site that a section of an ini file describes: its ``paste.app_factory``.

    The client of SoundCloud is in the environment: SCCONNECT_CLIENT_ID, SCCONNECT_CLIENT_SECRET.
    """
    store = SQLStore(settings["soundcloud.store"])
    return make_application(flow_from_env(), store, settings)


def make_application(flow, store, settings):
    """Return the whole site, with the login in front of Pyramid."""
    config = Configurator(settings=settings)
    config.include("pyramid_jinja2")
    config.set_security_policy(SoundCloudUsers())
    config.add_static_view("static", "mysite:static")
    config.add_route("home", "/")
    config.add_route("sounds", "/sounds")
    config.scan("mysite.views")
    options = options_from_settings(settings)  # scconnect.secret_key, scconnect.base_url, ...
    return Connections(flow, store).login(config.make_wsgi_app(), **options)
