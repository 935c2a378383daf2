"""Fill the tables of django-allauth and social-auth-app-django, for test_moving_in.py.

The rows are JSON on stdin, and made by those packages from the provider's answers.
"""

import json
import sys

import django
from django.core.management import call_command
from django.test import RequestFactory

django.setup()

from allauth.socialaccount.models import SocialAccount, SocialApp  # noqa: E402  # needs the set-up
from allauth.socialaccount.providers.soundcloud.views import SoundCloudOAuth2Adapter  # noqa: E402
from django.contrib.auth.models import User  # noqa: E402
from social_core.backends.soundcloud import SoundcloudOAuth2  # noqa: E402
from social_django.models import UserSocialAuth  # noqa: E402


def add(row):
    user, _ = User.objects.get_or_create(pk=row["user"], username=f"user-{row['user']}")
    answer = row["answer"]
    if row["library"] == "allauth":
        account = SocialAccount.objects.create(user=user, provider="soundcloud", uid=row["uid"])
        app, _ = SocialApp.objects.get_or_create(provider="soundcloud", client_id="sandbox-client")
        token = SoundCloudOAuth2Adapter(RequestFactory().get("/")).parse_token(answer)
        token.account = account
        token.app = app
        token.save()
    else:
        kept = SoundcloudOAuth2().extra_data(user, row["uid"], answer, {}, {})
        UserSocialAuth.create_social_auth(user, row["uid"], "soundcloud").set_extra_data(kept)


call_command("migrate", verbosity=0)
for row in json.load(sys.stdin):
    add(row)
