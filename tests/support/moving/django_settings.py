"""The settings of a site with both libraries, whose database is in the working directory."""

SECRET_KEY = "a secret key that is long enough for a test"
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "site.sqlite3"}}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "allauth",
    "allauth.account",
    "allauth.socialaccount",
    "allauth.socialaccount.providers.soundcloud",
    "social_django",
]
MIDDLEWARE = ["allauth.account.middleware.AccountMiddleware"]
USE_TZ = False  # so that allauth's dates have no time zone
TIME_ZONE = "Asia/Kathmandu"
