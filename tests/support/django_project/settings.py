"""The settings of a Django project with nothing but the app under test, for tests/django.

Its database is SQLite in DATABASE_FOLDER, or the server at DATABASE_PORT of 127.0.0.1.
"""

import os

ENGINE = os.environ.get("DATABASE_ENGINE", "sqlite3")
if ENGINE == "mysql":
    import pymysql

    # Django asks for mysqlclient, which has no wheels; it works with PyMySQL in its place
    pymysql.version_info = (2, 2, 1, "final", 0)
    pymysql.install_as_MySQLdb()

DATABASE: dict[str, object] = {"ENGINE": f"django.db.backends.{ENGINE}"}
if ENGINE == "sqlite3":
    folder = os.environ["DATABASE_FOLDER"]
    DATABASE |= {
        "NAME": f"{folder}/site.sqlite3",
        "OPTIONS": {"transaction_mode": os.environ.get("DATABASE_MODE", "IMMEDIATE")},
        "TEST": {"NAME": f"{folder}/test.sqlite3"},  # threads cannot share SQLite's memory
    }
else:
    DATABASE |= {
        "NAME": os.environ["DATABASE_NAME"],
        "USER": os.environ["DATABASE_USER"],
        "HOST": "127.0.0.1",
        "PORT": os.environ["DATABASE_PORT"],
    }
DATABASES = {"default": DATABASE}
INSTALLED_APPS = [
    "scconnect_wsgi.django",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
]
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
]
ROOT_URLCONF = "support.django_project.urls"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]  # fast
SECRET_KEY = "a-key-of-43-letters-which-is-for-tests-only"
USE_TZ = True
