"""Django's own commands for this site.

On your machine, against a SoundCloud that runs there too:

    pip install 'scconnect-wsgi[django]'
    python manage.py migrate
    scconnect sandbox -- python manage.py runserver

and its tests: python manage.py test
"""

import os
import sys

from django.core.management import execute_from_command_line

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mysite.settings")
    execute_from_command_line(sys.argv)
