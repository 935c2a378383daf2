"""gunicorn --config gunicorn_gthread.py mysite:application

Threads wait for the provider while others answer: the better choice for a site with many
connections at once.
"""

bind = "localhost:8000"
worker_class = "gthread"
workers = 2  # one a core
threads = 16
timeout = 30  # seconds
accesslog = "-"
# The path without its query, and no Referer: the callback's query holds the code that is good for a
# token.
access_log_format = '%(h)s %(t)s "%(m)s %(U)s" %(s)s %(b)s %(L)s'
limit_request_field_size = (
    16_380  # bytes; a Cookie header with those of several flows beside the site's own
)
