"""What a person says with a decision, as the journal, a terminal and a message show it."""

from __future__ import annotations

import unicodedata

from alluse_core.errors import UsageError


def one_line(text: str) -> str:
    """Return ``text`` on one line, every character that cannot be seen as a blank.

    A halt is never refused over how its reason is written, such as an exception's of many lines.
    """
    return "".join(sign if _seen(sign) else " " for sign in text).strip()


def is_one_line(text: str) -> bool:
    """Whether each character can be seen: none moves a cursor, breaks a line or turns the text."""
    return all(_seen(sign) for sign in text)


def refuse_no_name(by: str, what: str) -> None:
    """Raise UsageError unless ``by`` names somebody on one line; ``what`` is what needs the name.

    A name lets new risk in: it must not look like another, nor like a line of the journal's.
    """
    if not by.strip():
        raise UsageError(f"{what} needs the name of who decides it", hint="by='...'")
    if not is_one_line(by):
        raise UsageError(
            f"{what} needs a name on one line, not {by!r}",
            hint="leave out line breaks, escape sequences and other control characters",
        )


def _seen(sign: str) -> bool:
    return sign.isprintable() or unicodedata.category(sign) == "Zs"
