from django.db import transaction
from django.http import HttpResponse
from django.urls import path

from scconnect_wsgi.django import DjangoStore


def who(request):
    return HttpResponse(request.user.pk or "nobody")


def count(request):
    return HttpResponse(len(DjangoStore().of_user("joe")))


@transaction.non_atomic_requests
def count_outside(request):
    return count(request)


urlpatterns = [
    path("who", who),
    path("count", count),
    path("count-outside", count_outside),
]
