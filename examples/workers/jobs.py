"""What jobs do for one connection of a user, whichever queue runs them.

SCCONNECT_STORE names the database of the site. The web processes enqueue ``connection.id`` and
``connection.user``, and never a token: a worker loads the newest one.
"""

from scconnect_wsgi.config import connections_from_env

PAUSE = 10  # seconds until a job is tried again if SoundCloud does not say how many
LONGEST_PAUSE = 1800  # Celery with Redis runs a job twice that waits for an hour
ATTEMPTS = 6

# Nothing is opened before the first call, and processes that are forked later open connections of
# their own.
connections = connections_from_env()


def track_titles(oauth_token_id, user):
    with connections.session(oauth_token_id, user=user) as session:
        session.patience = 0  # the job waits in the queue, so that this process can do others
        return [track["title"] for track in session.collection("/me/tracks")]


def pause_after(error):
    """Return the seconds until a job is tried again."""
    return min(error.retry_after or PAUSE, LONGEST_PAUSE)
