"""What the errors say."""

import pytest

from retr.retrieval.errors import BadInput, Damaged, Mismatch, NotFound, RetrError, missing_package, unknown


@pytest.mark.parametrize("kind", [BadInput, NotFound, Mismatch, Damaged])
def test_every_error_a_user_can_act_on_is_a_retr_error(kind: type[Exception]) -> None:
    assert issubclass(kind, RetrError)


def test_an_unknown_name_brings_the_near_one_and_the_known_ones() -> None:
    error = unknown("encoder", "hahs", ["late", "hash", "bi"])
    assert str(error) == "No encoder named 'hahs'. Did you mean 'hash'? Known: bi, hash, late."
    assert isinstance(error, NotFound)


def test_a_name_like_no_other_brings_no_guess() -> None:
    assert str(unknown("encoder", "zzz", ["bi"])) == "No encoder named 'zzz'. Known: bi."


def test_an_empty_table_says_so() -> None:
    assert str(unknown("recipe", "x", [])) == "No recipe named 'x'. Known: none."


def test_a_missing_package_brings_the_command_that_installs_it() -> None:
    message = str(missing_package("markitdown", needed_for="Reading .docx", extra="files"))
    assert "Reading .docx needs the package 'markitdown'" in message
    assert "pip install 'retr[files]'" in message
