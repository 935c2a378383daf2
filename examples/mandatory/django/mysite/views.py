from itertools import islice

from django.contrib.auth import login
from django.contrib.auth.decorators import login_required
from django.shortcuts import redirect, render
from django.urls import reverse_lazy
from django.views.generic import CreateView

from mysite.forms import SignUpForm
from mysite.middleware import working_connection
from scconnect_wsgi.errors import ProviderError, ProviderUnavailable


class SignUp(CreateView):
    """The first step of signing up. The second one is ``connect``."""

    form_class = SignUpForm
    template_name = "registration/signup.html"
    success_url = reverse_lazy("connect")

    def form_valid(self, form):
        response = super().form_valid(form)
        login(self.request, self.object)
        return response


@login_required
def connect(request):
    """Show the button. The flow ends here too: after a failure with ``error`` in the query."""
    if working_connection(request):
        return redirect("home")
    connections = request.environ["scconnect.connections"]
    ended = connections.of_user(str(request.user.pk), ended=True)
    context = {"was_connected": bool(ended), "error": request.GET.get("error")}
    return render(request, "connect.html", context)


@login_required
def home(request):
    """Show the user's latest tracks."""
    connections = request.environ["scconnect.connections"]
    tracks = None
    try:
        with connections.session(request.soundcloud.id, user=str(request.user.pk)) as session:
            tracks = list(islice(session.collection("/me/tracks"), 10))
    except (ProviderError, ProviderUnavailable):
        pass  # the page says so
    return render(request, "home.html", {"tracks": tracks})
