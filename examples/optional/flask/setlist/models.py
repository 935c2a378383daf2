"""The database: users, and beside them the connections, in a table that the package makes."""

from flask_login import UserMixin
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from werkzeug.security import check_password_hash, generate_password_hash


class Base(DeclarativeBase):
    pass


db = SQLAlchemy(model_class=Base)


class User(UserMixin, db.Model):  # type: ignore[name-defined]  # made at runtime
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(db.String(80), unique=True)
    password_hash: Mapped[str] = mapped_column(db.String(255))

    def set_password(self, password):
        self.password_hash = generate_password_hash(password)

    def has_password(self, password):
        return check_password_hash(self.password_hash, password)


def user_named(name):
    return db.session.scalar(db.select(User).filter_by(name=name))


def init_app(app):
    db.init_app(app)

    @app.cli.command("init-db")
    def init_db():
        """Make the tables. A site that grows makes them with Flask-Migrate."""
        db.create_all()
