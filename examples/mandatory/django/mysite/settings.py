"""Django's settings.

In production the environment has SCCONNECT_BASE_URL (such as https://app.example),
SCCONNECT_SECRET_KEY, the client of SoundCloud (SCCONNECT_CLIENT_ID, SCCONNECT_CLIENT_SECRET), and
PGDATABASE with libpq's other variables. Secrets may be in files: SCCONNECT_SECRET_KEY_FILE. Without
SCCONNECT_BASE_URL this is a site on your machine.
"""

import os
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from scconnect_wsgi.config import options_from_env

BASE_DIR = Path(__file__).parent.parent
DEBUG = not os.environ.get("SCCONNECT_BASE_URL")
if DEBUG:
    SOUNDCLOUD: dict[str, Any] = {"secret_key": ["not-secret-and-for-development-0123456789"]}
else:
    SOUNDCLOUD = options_from_env()
    SITE_URL = SOUNDCLOUD["base_url"]
    ALLOWED_HOSTS = [urlsplit(SITE_URL).hostname]
    CSRF_TRUSTED_ORIGINS = [SITE_URL]  # behind a proxy that ends TLS, Django sees http
    CSRF_COOKIE_SECURE = SESSION_COOKIE_SECURE = True
*SECRET_KEY_FALLBACKS, SECRET_KEY = SOUNDCLOUD["secret_key"]

INSTALLED_APPS = [
    "mysite",
    "scconnect_wsgi.django",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "mysite.middleware.ConnectedUsersOnly",
]
ROOT_URLCONF = "mysite.urls"
WSGI_APPLICATION = "mysite.wsgi.application"  # which runserver runs as well
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
            ]
        },
    }
]

DATABASES: dict[str, dict[str, object]] = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": BASE_DIR / "site.sqlite3",
        # A transaction that reads first and then writes would fail if another one wrote meanwhile
        "OPTIONS": {"transaction_mode": "IMMEDIATE"},
    }
}
if "PGDATABASE" in os.environ:
    DATABASES["default"] = {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": os.environ["PGDATABASE"],
    }
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator"},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "home"
LOGOUT_REDIRECT_URL = "login"
EMAIL_BACKEND = f"django.core.mail.backends.{'console' if DEBUG else 'smtp'}.EmailBackend"
STATIC_URL = "static/"
STATIC_ROOT = BASE_DIR / "static"  # where collectstatic puts them, for your web server
