"""The settings page: connect, disconnect, and the tracks of an account."""

from itertools import islice

from flask import (
    Blueprint,
    abort,
    flash,
    redirect,
    render_template,
    request,
    url_for,
)
from flask_login import current_user, login_required

from scconnect_wsgi.errors import (
    NotConnected,
    ProviderError,
    ProviderUnavailable,
    StoreUnavailable,
)

MOST_TRACKS = 50
LATER = "SoundCloud cannot be reached at the moment. Please try again in a few minutes."
# What a user reads when a connection was not made, by the error's code.
FAILURES = {
    "access_denied": "You did not allow the connection, so nothing has changed.",
    "flow_expired": "That took too long. Please connect again.",
    "provider_unavailable": LATER,
}
FAILED = "The connection did not work. Please try again."

pages = Blueprint("settings", __name__, url_prefix="/settings")


@pages.get("/")
@login_required
def show():
    if "error" in request.args:
        flash(FAILURES.get(request.args["error"], FAILED), "error")
        return redirect(url_for("settings.show"))
    if "oauth_token_id" in request.args:
        flash("Your SoundCloud account is connected.")
        return redirect(url_for("settings.show"))
    connections = request.environ["scconnect.connections"]
    accounts = connections.of_user(current_user.get_id(), ended=True)
    return render_template("settings.html", accounts=accounts)


@pages.get("/soundcloud/<id>/tracks")
@login_required
def tracks(id):
    connections = request.environ["scconnect.connections"]
    try:
        with connections.session(id, user=current_user.get_id()) as session:
            account = session.me()
            found = list(islice(session.collection("/me/tracks"), MOST_TRACKS))
    except NotConnected:  # the settings say why, and what to do
        return redirect(url_for("settings.show"))
    except (ProviderUnavailable, StoreUnavailable):
        return render_template("message.html", text=LATER), 503
    except ProviderError:
        return render_template("message.html", text="SoundCloud did not show us the tracks."), 502
    return render_template("tracks.html", account=account, tracks=found)


@pages.post("/soundcloud/<id>/disconnect")
@login_required
def disconnect(id):
    connections = request.environ["scconnect.connections"]
    try:
        connections.disconnect(id, user=current_user.get_id())
    except NotConnected:
        abort(404)
    flash("The account is disconnected.")
    return redirect(url_for("settings.show"))
