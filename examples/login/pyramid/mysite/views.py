from itertools import islice

from pyramid.view import exception_view_config, forbidden_view_config, view_config

from scconnect_wsgi.errors import NotConnected, ProviderError, ProviderUnavailable


@view_config(route_name="home", renderer="templates/home.jinja2")
def home(request):
    return {}


@view_config(route_name="sounds", renderer="templates/sounds.jinja2", permission="view")
def sounds(request):
    """Show the latest tracks of the user who is logged in."""
    with request.environ["scconnect.session"]() as session:
        return {"tracks": list(islice(session.collection("/me/tracks"), 10))}


@forbidden_view_config(renderer="templates/login.jinja2")
@exception_view_config(NotConnected, renderer="templates/login.jinja2")
def login(request):
    """Show the button to strangers, and to a user who took the permission back."""
    request.response.status_code = 401
    return {"is_revoked": isinstance(request.exception, NotConnected)}


@exception_view_config(ProviderError, renderer="templates/unavailable.jinja2")
@exception_view_config(ProviderUnavailable, renderer="templates/unavailable.jinja2")
def unavailable(request):
    request.response.status_code = 503
    return {}
