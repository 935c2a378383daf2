"""The callables that the configurations of test_config.py name."""

from support.site import Store, page_of_the_site

store_token = Store()


def app_factory(global_conf, **options):
    return page_of_the_site


def identify(request):
    return "a user of the site"


events: list = []


def on_event(event):
    events.append(event.name)


def on_failure(error, request):
    return {"failed": error.code}
