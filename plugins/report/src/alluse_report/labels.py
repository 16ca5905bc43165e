"""What every page of a report says about where its numbers come from."""

from __future__ import annotations

import re

import attrs

from alluse_report.facts import Facts
from alluse_report.session import Session

NEVER_IBKR = "never run against IBKR"
# IBKR's paper accounts begin with DU (or DF for advisors), live ones with U, F or I.
_PAPER = re.compile(r"D[A-Z]*\d")


@attrs.frozen
class Labels:
    """``mode`` is PAPER, LIVE or UNKNOWN, judged by the accounts that orders went to."""

    mode: str
    profile: str
    provenance: str


def labels(session: Session, facts: Facts) -> Labels:
    """Return the labels of a session."""
    accounts = {order.account for order in session.orders or () if order.account}
    paper = {account for account in accounts if _PAPER.match(account)}
    mode = "UNKNOWN"
    if accounts:
        mode = "PAPER" if paper == accounts else "LIVE"
    profile = facts.value("analysis.profile") or "unknown"
    return Labels(mode, str(profile), NEVER_IBKR)
