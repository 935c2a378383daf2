"""The SoundCloud accounts of the site's users."""

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.wsgi import get_wsgi_application

from scconnect_wsgi.connections import Connections
from scconnect_wsgi.django import DjangoStore, current_user


def make_connections(flow):
    """Return the connections, for the site as well as for a worker or a command of manage.py."""
    return Connections(flow, DjangoStore(), identify=current_user, on_lost=ask_to_connect_again)


def make_application(connections):
    """Return the whole site, with the button in front of Django."""
    site = get_wsgi_application()
    return connections.wrap(site, sign_in_url="/login/", **settings.SOUNDCLOUD)


def ask_to_connect_again(connection, error):
    """Write to a user who took the permission back.

    Nothing is deleted: the site has every page again as soon as the account is connected again.
    """
    user = get_user_model().objects.get(pk=connection.user)
    user.email_user(
        "Please connect your SoundCloud account again",
        f"SoundCloud no longer lets this site use the account {connection.account.username}. "
        "Log in, and connect it again: nothing of yours is lost.",
    )
