"""What an error says in its attributes."""

import copy
import pickle

from scconnect_wsgi.errors import ConfigurationError, ProviderUnavailable


def test_a_configuration_error_names_the_option_and_the_problem():
    error = ConfigurationError("store_token", "must be a callable, or HAND_OVER.")
    assert (error.option, error.problem) == ("store_token", "must be a callable, or HAND_OVER.")
    assert error.message == str(error) == "store_token must be a callable, or HAND_OVER."
    assert error.fields()["error"] == "configuration"


def test_an_error_survives_the_way_to_another_process():
    """A pool of processes breaks if an exception cannot be unpickled."""
    error = pickle.loads(pickle.dumps(ConfigurationError("proxy", "must be a URL.")))
    assert (error.option, error.problem) == ("proxy", "must be a URL.")
    lost = ProviderUnavailable("No answer.", retry_after=7, outcome_unknown=True)
    there = pickle.loads(pickle.dumps(lost))
    assert (there.message, there.retry_after, there.outcome_unknown) == ("No answer.", 7, True)


def test_a_note_on_a_copy_is_not_on_the_original():
    error = ProviderUnavailable("No answer.")
    another = copy.copy(error)
    assert (another.error_id, another.__notes__) == (error.error_id, error.__notes__)
    another.add_note("In the night job.")
    assert len(error.__notes__) == 1


def test_an_outcome_is_known_unless_the_error_says_otherwise():
    assert not ProviderUnavailable("The connection was refused.").outcome_unknown
