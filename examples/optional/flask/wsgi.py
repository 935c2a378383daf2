"""What `flask run` and every WSGI server start."""

from setlist import create_app

application = create_app()
