"""The tables of Flask-Dance and social-auth-storage-sqlalchemy, for test_moving_in.py.

Run as a program, it fills them with the rows that are JSON on stdin. The packages make them from
the provider's answers.
"""

import json
import sys

import flask
from flask_dance.consumer import OAuth2ConsumerBlueprint
from flask_dance.consumer.storage.sqla import OAuthConsumerMixin, SQLAlchemyStorage
from social_core.backends.soundcloud import SoundcloudOAuth2
from social_core.strategy import BaseStrategy
from social_sqlalchemy.storage import SQLAlchemyUserMixin
from sqlalchemy import Column, Integer, String, create_engine
from sqlalchemy.orm import DeclarativeBase, relationship, sessionmaker

engine = create_engine("sqlite:///site.sqlite3")
session = sessionmaker(engine)()


class Base(DeclarativeBase):
    pass


class User(Base):
    __tablename__ = "user"
    id = Column(Integer, primary_key=True)


class OAuth(OAuthConsumerMixin, Base):
    user_id = Column(Integer)
    user = relationship(User, primaryjoin="foreign(OAuth.user_id) == User.id")


class UserSocialAuth(SQLAlchemyUserMixin, Base):
    uid = Column(String)
    user_id = Column(Integer)
    user = relationship(User, primaryjoin="foreign(UserSocialAuth.user_id) == User.id")

    @classmethod
    def _session(cls):
        return session

    @classmethod
    def user_model(cls):
        return User


class Strategy(BaseStrategy):
    """What social-core asks about the site and the request; here is neither."""

    def get_setting(self, name):
        raise AttributeError(name)

    def request_data(self, merge=True):
        return {}

    def build_absolute_uri(self, path=None):
        return "http://localhost/"


def add(row):
    user = session.get(User, row["user"]) or User(id=row["user"])
    session.add(user)
    answer = row["answer"]
    if row["library"] == "flask-dance":
        storage = SQLAlchemyStorage(OAuth, session, user=user)
        blueprint = OAuth2ConsumerBlueprint("soundcloud", __name__, storage=storage)
        with flask.Flask(__name__).test_request_context():
            blueprint.token = answer
    else:
        kept = SoundcloudOAuth2(Strategy()).extra_data(user, row["uid"], answer, {}, {})
        UserSocialAuth.create_social_auth(user, row["uid"], "soundcloud").set_extra_data(kept)
    session.commit()


if __name__ == "__main__":
    Base.metadata.create_all(engine)
    for row in json.load(sys.stdin):
        add(row)
    session.close()
    engine.dispose()
