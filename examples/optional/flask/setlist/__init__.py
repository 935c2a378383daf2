"""Setlist: a site with users of its own, who may connect their SoundCloud accounts."""

from flask import Flask, render_template
from flask_wtf import CSRFProtect

from scconnect_wsgi.config import options_from_env
from setlist import models, settings, soundcloud, users

POLICY = "default-src 'none'; script-src 'self'; style-src 'self'; img-src *; form-action 'self'"


def create_app(**config):
    """Create the site. FLASK_* variables set Flask's options, and `config` overrides them."""
    app = Flask(__name__, instance_relative_config=True)
    options = options_from_env()  # SCCONNECT_SECRET_KEY, SCCONNECT_BASE_URL, ...
    *old_keys, newest_key = options["secret_key"]
    app.config.update(
        SECRET_KEY=newest_key,
        SECRET_KEY_FALLBACKS=old_keys,
        SESSION_COOKIE_SAMESITE="Lax",
        SESSION_COOKIE_SECURE=options.get("base_url", "").startswith("https:"),
        SQLALCHEMY_DATABASE_URI="sqlite:///setlist.sqlite3",  # in the folder `instance`
        SQLALCHEMY_ENGINE_OPTIONS={"pool_pre_ping": True},
    )
    app.config.from_prefixed_env()
    app.config.update(config)

    models.init_app(app)
    users.init_app(app)
    soundcloud.init_app(app, options)
    CSRFProtect(app)
    app.register_blueprint(users.pages)
    app.register_blueprint(settings.pages)

    @app.get("/")
    def home():
        return render_template("home.html")

    @app.after_request
    def restrict(response):
        response.headers["Content-Security-Policy"] = POLICY
        return response

    return app
