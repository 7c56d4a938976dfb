"""Cards, their tranches and their holds, held against what the last answer about them showed.

Policy, validity and labels stand in no posting.  But every answer is a snapshot of the cards that
it touched, sealed by the chain, so the newest one says what each row must be.
"""

from collections.abc import Iterable
from datetime import date
from typing import Final

import orjson

from server.domain import calendar
from server.domain.record import CardView, HoldView, Result
from server.storage import loading, schema
from server.storage.audit import Row, Snapshot
from server.verify.report import Findings

#: Columns of a card that its view has under the same name.
_SHOWN: Final = (
    "program_version", "book", "unit", "state", "initial_amount", "max_balance", "valid_from",
    "valid_until", "expire_time", "time_zone", "reload_allowed", "return_allowed",
    "partial_redeem_allowed", "code_last_four", "batch", "customer", "external_reference",
    "create_time", "update_time", "issue_time", "sequence",
)  # fmt: skip
#: Columns that nothing writes yet.
_UNUSED: Final = (
    "purchaser", "owner_jurisdiction", "origin_system", "last_owner_activity_time",
)  # fmt: skip
CARD_COLUMNS: Final = (
    *_SHOWN, "program_code", "labels", "pin_hash", "valid_from_time", *_UNUSED,
)  # fmt: skip
_HOLD_SHOWN: Final = (
    "client_id", "requested", "exclusive", "sale_reference", "expire_time", "create_time",
)  # fmt: skip
HOLD_COLUMNS: Final = ("authorized", *_HOLD_SHOWN)

#: No zone is further from UTC; its own rules may have been corrected since.
_DAY_MICROSECONDS: Final = 24 * 3600 * calendar.MICROSECONDS_PER_SECOND
_QUARTER_HOUR_MICROSECONDS: Final = 15 * 60 * 1_000_000


def results(snapshot: Snapshot, transaction_ids: Iterable[str]) -> dict[str, Result]:
    """Transaction id -> what it answered; without those that are not readable."""
    keys = [(transaction_id,) for transaction_id in sorted(set(transaction_ids))]
    found: dict[str, Result] = {}
    for row in snapshot.find(schema.ledger_transaction, ("id", "result"), ("id",), keys):
        try:
            found[row[0]] = loading.load_result(row[1])
        except (KeyError, TypeError, ValueError):
            continue  # named already, as a transaction that is not readable
    return found


def check_card(findings: Findings, card: Row, accounts: Iterable[Row], result: Result) -> None:
    """A card's row and its tranches against the newest answer that showed it."""
    check = findings.check
    view = next((view for view in result.cards if view.id == card.id), None)
    if view is None:
        findings.add("card", card.id, "last answer", "without it", "with it")
        return
    for name in _SHOWN:
        check("card", card.id, name, getattr(card, name), getattr(view, name))
    check("card", card.id, "program_code", card.program_code, view.program)
    check("card", card.id, "labels", card.labels, orjson.dumps(view.labels).decode())
    check("card", card.id, "PIN is set", card.pin_hash is not None, view.pin_set)
    _check_first_day(findings, card, view)
    for name in _UNUSED:
        check("card", card.id, name, getattr(card, name), None)
    ordered = sorted(accounts, key=lambda account: str(account.id))
    if len(ordered) != len(view.tranches):
        findings.add("account", card.id, "number", len(ordered), len(view.tranches))
        return
    for account, tranche in zip(ordered, view.tranches, strict=True):
        found, expected = (
            (account.origin, account.expire_time), (tranche.origin, tranche.expire_time),
        )  # fmt: skip
        check("account", (card.id, account.id), "origin, expire_time", found, expected)


def _check_first_day(findings: Findings, card: Row, view: CardView) -> None:
    """Its instant stands in no answer; it must be the beginning of the first day in its zone.

    Zones change their rules by quarters of an hour, also for days that were written already.
    """
    found = card.valid_from_time
    if view.issue_time is None or view.valid_from is None:
        findings.check("card", card.id, "valid_from_time", found, None)
        return
    begins = calendar.start_of_validity(date.fromisoformat(view.valid_from), view.time_zone)
    off = None if found is None else found - begins
    if off is None or abs(off) > _DAY_MICROSECONDS or off % _QUARTER_HOUR_MICROSECONDS:
        findings.add("card", card.id, "valid_from_time", found, f"about {begins}")


def check_hold(findings: Findings, hold: Row, view: HoldView | None) -> None:
    """A hold's row against the answer to its authorization."""
    if view is None:
        findings.add("hold", hold.id, "its authorization", "without it", "with it")
        return
    for name in _HOLD_SHOWN:
        findings.check("hold", hold.id, name, getattr(hold, name), getattr(view, name))
