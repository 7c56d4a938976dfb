"""The front door of the domain: one command in, one decision or one typed no out."""

from collections.abc import Callable
from typing import Any, Final

from server.domain import commands as c
from server.domain import customers, holds, lifecycle, reservations, reversal, spending, transfer
from server.domain.decision import Decision
from server.domain.world import World


def _administer(world: World, envelope: c.Envelope, command: c.Administer, now: int) -> Decision:
    """The edge has read the set-up and decided; here its word takes its turn.

    An objection is raised only here, so that a request that was carried out before is answered
    as a replay, whatever has become of the set-up since.
    """
    if envelope.objection is not None:
        raise envelope.objection
    return Decision(extras={"name": command.name, "body": command.body, **envelope.facts})


#: Every command has exactly one rule.
RULES: Final[dict[type[c.Command], Callable[[World, c.Envelope, Any, int], Decision]]] = {
    c.CreateGiftCard: lifecycle.create,
    c.IssueGiftCard: lifecycle.issue,
    c.ActivateGiftCard: lifecycle.activate,
    c.LoadGiftCard: lifecycle.load,
    c.RedeemGiftCard: spending.redeem,
    c.RedeemGiftCards: spending.redeem_many,
    c.RefundGiftCard: spending.refund,
    c.AuthorizeGiftCard: holds.authorize,
    c.CaptureHold: holds.capture,
    c.VoidHold: holds.void,
    c.ReverseTransaction: reversal.reverse,
    c.LockGiftCard: lifecycle.lock,
    c.UnlockGiftCard: lifecycle.unlock,
    c.CloseGiftCard: lifecycle.close,
    c.TransferBalance: transfer.transfer,
    c.AdjustGiftCard: lifecycle.adjust,
    c.UpdateGiftCard: lifecycle.update,
    c.CheckPin: lifecycle.check_pin,
    c.CreateCustomer: customers.create,
    c.UpdateCustomer: customers.update,
    c.EarnPoints: customers.earn,
    c.AdjustPoints: customers.adjust,
    c.AuthorizePoints: customers.authorize,
    c.ReserveCodes: reservations.reserve,
    c.ReleaseCodes: reservations.release,
    c.Administer: _administer,
}


def decide(world: World, envelope: c.Envelope, now: int) -> Decision:
    """Raises `Refused` (stored) or `Rejected` (not stored); changes nothing."""
    return RULES[type(envelope.command)](world, envelope, envelope.command, now)
