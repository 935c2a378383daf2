"""Sign up, sign in and sign out, with flask-login."""

import re

from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask_login import LoginManager, login_required, login_user, logout_user
from sqlalchemy.exc import IntegrityError

from setlist.models import User, db, user_named

OWN_PATH = re.compile(r"/(?![/\\])[!-~]*")  # of this site, so that no link leads to another one

pages = Blueprint("users", __name__)


def init_app(app):
    manager = LoginManager(app)
    manager.login_view = "users.sign_in"
    manager.login_message = None

    @manager.user_loader
    def load(user_id):
        return db.session.get(User, int(user_id))


def welcome(user):
    login_user(user)
    wanted = request.args.get("next", "")
    return redirect(wanted if OWN_PATH.fullmatch(wanted) else url_for("settings.show"))


@pages.route("/sign-up", methods=["GET", "POST"])
def sign_up():
    if request.method == "POST":
        user = User(name=request.form["name"].strip())
        user.set_password(request.form["password"])
        db.session.add(user)
        try:
            db.session.commit()
        except IntegrityError:
            db.session.rollback()
            flash("This name is taken. Please choose another one.", "error")
        else:
            return welcome(user)
    return render_template("sign_in.html", title="Sign up", other="users.sign_in")


@pages.route("/sign-in", methods=["GET", "POST"])
def sign_in():
    if request.method == "POST":
        user = user_named(request.form["name"].strip())
        if user is not None and user.has_password(request.form["password"]):
            return welcome(user)
        flash("The name or the password is wrong.", "error")
    return render_template("sign_in.html", title="Sign in", other="users.sign_up")


@pages.post("/sign-out")
@login_required
def sign_out():
    logout_user()
    return redirect(url_for("home"))
