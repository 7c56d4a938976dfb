"""Bugs as a hurried change of the money modules would bring them; the tests must find each.

One line is one bug: where, what stands there, what it becomes, and what it would cost.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from tests.prove.mutants import ROOT


@dataclass(frozen=True, slots=True)
class Bug:
    path: str
    old: str
    new: str
    cost: str

    def source(self) -> str:
        text = (ROOT / self.path).read_text()
        count = text.count(self.old)
        assert count == 1, f"{self.path} has {self.old!r} {count} times"
        return text.replace(self.old, self.new)


_SPENDING: Final = "server/domain/spending.py"
_HOLDS: Final = "server/domain/holds.py"
_REVERSAL: Final = "server/domain/reversal.py"
_TRANSFER: Final = "server/domain/transfer.py"
_RULES: Final = "server/domain/rules.py"
_DECISION: Final = "server/domain/decision.py"
_CURRENCY: Final = "server/domain/currency.py"
_AMOUNTS: Final = "compat_http/amounts.py"

BUGS: Final = (
    Bug(_RULES, "if amount > available and", "if amount >= available and",
        "a card cannot be emptied"),
    Bug(_RULES, "    return min(amount, available)\n", "    return amount\n",
        "a partial approval gives more than there is"),
    Bug(_SPENDING, "posting.amount - returned.get(posting.line, 0)", "posting.amount",
        "a sale is refunded twice"),
    Bug(_SPENDING, "net = posting.amount - undone.get(posting.line, 0)", "net = posting.amount",
        "what an undone refund gave back cannot be refunded again"),
    Bug(_SPENDING, "for posting in reversed(redeemed):", "for posting in redeemed:",
        "a refund goes to value that expires first"),
    Bug(_SPENDING, "        require_two(card, other)", "        pass",
        "a card named twice pays twice with the same money"),
    Bug(_HOLDS, "left = remaining - amount", "left = hold.authorized - amount",
        "a hold is captured twice"),
    Bug(_HOLDS, "if command.exclusive and card.held(now):", "if False:",
        "a whole card is promised though a part is promised already"),
    Bug(_HOLDS, "ends = command.final or not left", "ends = not left",
        "a final capture keeps the rest from its customer"),
    Bug(_HOLDS, "now + seconds * 1_000_000", "now + seconds * 1_000",
        "holds end a thousand times too early"),
    Bug(_REVERSAL, "return _outcome(decision, ALREADY_REVERSED)", "pass",
        "a sale is undone twice"),
    Bug(_REVERSAL, "shortfall += left", "pass",
        "what a merchant is owed is not told"),
    Bug(_REVERSAL, "line.amount - returned.get(line.line, 0)", "line.amount",
        "a refunded sale is given back once more"),
    Bug(_REVERSAL, "account.balance - card.held_on(account, now) - taken.get(account.id, 0)",
        "account.balance - taken.get(account.id, 0)",
        "a reversal takes what is held for a shop"),
    Bug(_REVERSAL, "and not envelope.caller.manages", "and False",
        "any till undoes what another one did"),
    Bug(_TRANSFER, "rest = available - amount", "rest = source.ledger_balance() - amount",
        "held value is moved away"),
    Bug(_TRANSFER, "account.origin, account.expire_time, account.entity, now",
        "account.origin, None, account.entity, now",
        "moving value makes it last for ever"),
    Bug(_RULES, "now >= card.expire_time", "now > card.expire_time",
        "a card is good for one instant too long"),
    Bug(_RULES, "hold.client_id != caller.client_id", "hold.client_id == caller.client_id",
        "the holder of a card is kept off, everybody else spends it"),
    Bug(_RULES, "card.balance(now) + amount > limit", "amount > limit",
        "a card is loaded beyond its maximum"),
    Bug(_RULES, "    failures += 1", "    failures = 1",
        "PINs are guessed without end"),
    Bug(_DECISION, "and hold.expire_time <= now", "and hold.expire_time < now",
        "an expired hold stays in the books"),
    Bug(_DECISION, "account.held -= change.released.get(account.id, 0)", "pass",
        "what a hold kept is never given back"),
    Bug(_CURRENCY, "whole + fraction.ljust(decimals, \"0\")", "whole + fraction",
        "1.5 dollars are 15 cents"),
    Bug(_CURRENCY, "if minor_units > AMOUNT_MAX_MINOR_UNITS:", "if False:",
        "an amount beyond what accounts may hold is taken"),
    Bug(_AMOUNTS, "if len(fraction) > decimals:", "if False:",
        "half a cent becomes five cents"),
    Bug(_AMOUNTS, "int(whole + fraction.ljust(decimals, \"0\"))",
        "int(float(text) * 10**decimals)",
        "57.23 dollars are 5722 cents: amounts read as floats"),
)  # fmt: skip
