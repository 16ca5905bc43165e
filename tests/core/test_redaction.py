"""What hides secrets in texts, messages and tracebacks."""

from __future__ import annotations

import io
import logging

import pytest

from alluse_core.redaction import Redaction


def _logged(redaction: Redaction, message: str, *args: object, error: bool = False) -> str:
    written = io.StringIO()
    handler = logging.StreamHandler(written)
    handler.addFilter(redaction)
    logger = logging.getLogger("tests.redaction")
    logger.addHandler(handler)
    try:
        logger.warning(message, *args, exc_info=error)
    finally:
        logger.removeHandler(handler)
    return written.getvalue()


def test_a_secret_is_replaced_wherever_it_stands() -> None:
    redaction = Redaction(["hunter2-hunter2"])
    assert redaction.hide("a hunter2-hunter2 b hunter2-hunter2") == "a *** b ***"
    assert redaction.told(ValueError("hunter2-hunter2")) == "ValueError: ***"


def test_a_secret_that_holds_another_one_is_hidden_whole() -> None:
    redaction = Redaction(["secret", "secret-and-more"])
    assert redaction.hide("secret-and-more, secret") == "***, ***"


@pytest.mark.parametrize("value", ["", "12345", 123456789, None, True])
def test_what_would_stand_in_texts_by_chance_is_not_looked_for(value: object) -> None:
    assert Redaction([value]).hide("12345 123456789 None True") == "12345 123456789 None True"


def test_a_secret_that_is_handed_out_is_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALLUSE_SECRET_PAGER", "hunter2-hunter2")
    redaction = Redaction()
    assert redaction.hide("hunter2-hunter2") == "hunter2-hunter2"
    assert redaction.secret("pager") == "hunter2-hunter2"
    assert redaction.secret("another") is None
    assert redaction.hide("hunter2-hunter2") == "***"


def test_a_log_record_loses_its_secrets_and_keeps_its_words() -> None:
    redaction = Redaction(["hunter2-hunter2"])
    assert _logged(redaction, "%s of %d", "hunter2-hunter2", 3) == "*** of 3\n"


def test_a_traceback_loses_its_secrets_those_of_causes_too() -> None:
    redaction = Redaction(["hunter2-hunter2"])
    try:
        try:
            raise KeyError("hunter2-hunter2")
        except KeyError as error:
            raise ValueError("no page") from error
    except ValueError:
        text = _logged(redaction, "failed", error=True)
    assert "hunter2" not in text.replace('KeyError("hunter2-hunter2")', "")
    assert "KeyError: '***'" in text
    assert "ValueError: no page" in text
