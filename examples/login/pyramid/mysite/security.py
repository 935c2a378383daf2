from pyramid.security import Allowed, Denied


class SoundCloudUsers:
    """Tells Pyramid who is logged in, which the login in front of it has found out.

    ``request.identity`` is the account, with its username and its picture. The key for tables of
    your own is ``request.authenticated_userid``: names change, and two accounts can have the same.
    """

    def identity(self, request):
        return request.environ.get("scconnect.account")

    def authenticated_userid(self, request):
        return request.remote_user

    def permits(self, request, context, permission):
        """Allow everything to users who are logged in. A site with roles decides here."""
        if request.remote_user:
            return Allowed("A user is logged in.")
        return Denied("Nobody is logged in.")

    def remember(self, request, userid, **options):
        return []  # the login has cookies of its own

    def forget(self, request, **options):
        return []
