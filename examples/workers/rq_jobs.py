"""Jobs in RQ (pip install rq). Start as many workers as you want; each runs one job at a time:

    python rq_jobs.py

A web process enqueues one with ``queue.enqueue(track_titles, connection.id, connection.user)``.
"""

import os

import jobs
from redis import Redis
from rq import Queue, Retry, Worker

from scconnect_wsgi.errors import NotConnected, ProviderUnavailable, StoreUnavailable

queue = Queue(connection=Redis.from_url(os.environ["REDIS_URL"]))


def track_titles(oauth_token_id, user):
    try:
        return jobs.track_titles(oauth_token_id, user)
    except NotConnected:  # the user must connect again, and trying again would not help
        return None
    except (ProviderUnavailable, StoreUnavailable) as error:
        return Retry(max=jobs.ATTEMPTS - 1, interval=jobs.pause_after(error))


if __name__ == "__main__":
    # Imported here, jobs.py need not be imported again by the process of each job
    Worker([queue], connection=queue.connection).work(with_scheduler=True)
