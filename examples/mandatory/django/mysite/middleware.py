"""Only a user with a connected account sees the site."""

from django.shortcuts import redirect

from scconnect_wsgi.errors import NotConnected

OPEN_TO_ALL = {"connect", "login", "logout", "signup"}  # views, by their names


class ConnectedUsersOnly:
    """Leads a user without a connected account to the page that connects one.

    That is the end of signing up, and the way back for a user who took the permission back later.
    The other views find the connection as ``request.soundcloud``.
    """

    def __init__(self, get_response):
        self.get_response = get_response

    def __call__(self, request):
        return self.get_response(request)

    def process_view(self, request, view, args, kwargs):
        if not request.user.is_authenticated or request.resolver_match.view_name in OPEN_TO_ALL:
            return None
        request.soundcloud = working_connection(request)
        return None if request.soundcloud else redirect("connect")

    def process_exception(self, request, exception):
        """Answer a view's call of the API that found out that the permission is gone."""
        return redirect("connect") if isinstance(exception, NotConnected) else None


def working_connection(request):
    """Return the signed-in user's connection, or None if there is none that works."""
    connections = request.environ["scconnect.connections"].of_user(str(request.user.pk))
    return connections[0] if connections else None
