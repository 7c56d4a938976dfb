"""The operations: what each message asks of the service, and what its answer says.

Bodies of STATUS, SELL and LOAD are the vendor's; those of the others, and CANCEL's and RETURN's
meaning, are our convention.
"""

import re
from collections.abc import Callable, Generator, Mapping
from datetime import date, datetime, timedelta
from typing import Any, Final

from giftcard import v1
from google.protobuf.timestamp_pb2 import Timestamp
from google.type import date_pb2

from compat_http.dialect import LegacyRequest, Refusal, Rpc, derived_id, ending
from compat_http.dialects.retail7 import answers, fields
from compat_http.settings import Retail7Settings

#: What an operation tells the till beside the common members.
Facts = dict[str, Any]
Steps = Generator[Rpc, Any, Facts]

_CHOSEN_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._~-]{0,62}")
#: Nowhere on earth a day lasts longer than until noon UTC of the next one.
_LAST_ZONE: Final = timedelta(hours=12)


class Message:
    """One message, read by its table; makes the parts that RPCs share."""

    __slots__ = ("config", "now", "operation", "training", "values")

    def __init__(
        self, operation: str, values: Mapping[str, Any], now: datetime, config: Retail7Settings
    ) -> None:
        self.operation = operation
        self.values = values
        self.now = now
        self.config = config
        self.training: bool = values["trainingFlag"]

    def key(self, operation: str = "", request_id: str = "") -> str:
        """The derived request id of this message, or of an earlier one of the same client."""
        values = self.values
        parts = (
            values["clientID"], values["clientStore"], operation or self.operation,
            request_id or values["requestIDExternal"],
        )  # fmt: skip
        return derived_id("retail7", parts, training=self.training)

    def read(self, method: str, message: Any) -> Rpc:
        return Rpc(method, message, self.training)

    def write(self, method: str, message: Any) -> Rpc:
        """Adds context and request id."""
        values = self.values
        store: str = values["clientStore"]
        if not _CHOSEN_ID.fullmatch(store):
            raise _refusal("LOCATION_NOT_FOUND")
        message.context.CopyFrom(
            v1.CallContext(
                location="locations/" + store,
                terminal=values["clientID"],
                receipt=values.get("clientTrx", ""),
                reason=values.get("reason", ""),
                client_time=_instant(values["timestamp"]),
            )
        )
        message.request_id = self.key()
        return Rpc(method, message, self.training, client_key=True)

    def card(self) -> v1.GiftCardReference:
        return v1.GiftCardReference(code=self.values["cardID"])

    def amount(self) -> v1.Money:
        currency: str = self.values["currencyCode"]
        return self.money("amount", currency)

    def money(self, name: str, currency: str) -> v1.Money:
        units = fields.number(name, self.values[name], currency)
        return v1.Money(minor_units=units, currency_code=currency)

    def program(self) -> str:
        """Resource name of the program that the type code, or its absence, stands for."""
        code = self.values.get("cardTypeCode")
        if code is None:
            return "programs/" + self.config.program
        listed = self.config.card_types.get(code)
        program: str = listed["program"] if listed else code
        if not _CHOSEN_ID.fullmatch(program):
            raise _refusal("PROGRAM_NOT_FOUND")
        return "programs/" + program

    def policy(self, currency: str) -> dict[str, Any]:
        """The policy fields that were sent, for the messages that take them."""
        values = self.values
        policy: dict[str, Any] = {
            theirs: values[ours]
            for ours, theirs in (
                ("reloadAllowed", "reload_allowed"),
                ("returnAllowed", "return_allowed"),
                ("partRedeemAllowed", "partial_redeem_allowed"),
            )
            if ours in values
        }
        if "maxBalance" in values:
            policy["max_balance"] = self.money("maxBalance", currency)
        return policy

    def validity(self) -> dict[str, Any]:
        """The validity fields that were sent."""
        first, last = self.values.get("validFrom"), self.values.get("validUntil")
        if first and last and last < first:
            raise fields.invalid("validUntil", "must not be before validFrom")
        found: dict[str, Any] = {}
        if first:
            found["valid_from"] = _date(first)
        if last:
            found["valid_until"] = _date(last)
        return found

    def validity_of_sale(self) -> dict[str, Any]:
        """The same; a last day that is over everywhere may stand for the default, by setting."""
        found = self.validity()
        last = self.values.get("validUntil")
        over = last is not None and last < (self.now - _LAST_ZONE).date()
        if over and self.config.past_valid_until == "replace":
            del found["valid_until"]
        return found


def _refusal(reason: str) -> Refusal:
    status, text = answers.REASONS[reason]
    return Refusal(reason, status, text)


def _instant(value: datetime) -> Timestamp:
    instant = Timestamp()
    instant.FromDatetime(value)
    return instant


def _date(value: date) -> date_pb2.Date:
    return date_pb2.Date(year=value.year, month=value.month, day=value.day)


def _done(answer: Any, amount: v1.Money | None = None) -> Facts:
    """What the answer to a write tells."""
    transaction = answer.transaction
    if amount is None and transaction.HasField("approved_amount"):
        amount = transaction.approved_amount
    return {"card": answer.gift_card, "transaction": transaction, "amount": amount}


def status(m: Message) -> Steps:
    answer = yield m.read("LookupGiftCard", v1.LookupGiftCardRequest(gift_card=m.card()))
    return {"card": answer.gift_card}


def sell(m: Message) -> Steps:
    """Sells a card that is known; one issued by the client becomes known by it."""
    amount, validity = m.amount(), m.validity_of_sale()
    if m.values["issuedByClient"]:
        answer = yield m.write(
            "IssueGiftCard",
            v1.IssueGiftCardRequest(
                program=m.program(),
                amount=amount,
                code=m.values["cardID"],
                **validity,
                **m.policy(amount.currency_code),
            ),
        )
    else:
        answer = yield m.write(
            "ActivateGiftCard",
            v1.ActivateGiftCardRequest(gift_card=m.card(), amount=amount, **validity),
        )
    return _done(answer)


def load(m: Message) -> Steps:
    request = v1.LoadGiftCardRequest(gift_card=m.card(), amount=m.amount())
    return _done((yield m.write("LoadGiftCard", request)))


def redeem(m: Message) -> Steps:
    """All or nothing: a till asks for less when it is told that the balance is not sufficient."""
    request = v1.RedeemGiftCardRequest(gift_card=m.card(), amount=m.amount())
    return _done((yield m.write("RedeemGiftCard", request)))


def create(m: Message) -> Steps:
    program, currency = m.program(), m.values["currencyCode"]
    validity, policy = m.validity(), m.policy(currency)
    found = yield m.read("GetProgram", v1.GetProgramRequest(name=program))
    if found.currency_code != currency:
        raise _refusal("CURRENCY_MISMATCH")
    answer = yield m.write(
        "CreateGiftCard",
        v1.CreateGiftCardRequest(program=program, code=m.values["cardID"], **validity, **policy),
    )
    return _done(answer)


def update(m: Message) -> Steps:
    """Changes what was sent.  A card stays of its type."""
    looked = yield m.read("LookupGiftCard", v1.LookupGiftCardRequest(gift_card=m.card()))
    card: v1.GiftCard = looked.gift_card
    if "cardTypeCode" in m.values and m.program() != card.program:
        raise fields.invalid("cardTypeCode", "cannot be changed")
    changes = {**m.validity(), **m.policy(card.currency_code)}
    if not changes:
        raise fields.invalid("The request", "names nothing to update")
    request = v1.UpdateGiftCardRequest(gift_card=v1.GiftCard(name=card.name, **changes))
    request.update_mask.paths.extend(changes)
    return _done((yield m.write("UpdateGiftCard", request)))


def lock(m: Message) -> Steps:
    return _done((yield m.write("LockGiftCard", v1.LockGiftCardRequest(gift_card=m.card()))))


def unlock(m: Message) -> Steps:
    return _done((yield m.write("UnlockGiftCard", v1.UnlockGiftCardRequest(gift_card=m.card()))))


def close(m: Message) -> Steps:
    disposition = v1.CloseGiftCardRequest.Disposition.Value(m.config.close_disposition)
    request = v1.CloseGiftCardRequest(gift_card=m.card(), disposition=disposition)
    return _done((yield m.write("CloseGiftCard", request)))


def return_card(m: Message) -> Steps:
    """Takes an unused card back and closes it: what was paid for it is paid out."""
    amount = m.amount()
    looked = yield m.read("LookupGiftCard", v1.LookupGiftCardRequest(gift_card=m.card()))
    card: v1.GiftCard = looked.gift_card
    if card.state == v1.GiftCard.ACTIVE:
        if amount.currency_code != card.currency_code:
            raise _refusal("CURRENCY_MISMATCH")
        if card.balance != card.initial_amount:
            raise Refusal("CARD_USED", 422, "The gift card has been used since it was sold.")
        if card.balance != amount:
            raise Refusal("AMOUNT_NOT_BALANCE", 422, "The amount is not the gift card's balance.")
    answer = yield m.write(
        "CloseGiftCard",
        v1.CloseGiftCardRequest(gift_card=m.card(), disposition=v1.CloseGiftCardRequest.CASH_OUT),
    )
    paid = answer.disposed_amount
    if not paid.minor_units:
        raise _refusal("CARD_CLOSED")  # it was closed before, by another request
    if answer.replayed and paid != amount:
        raise _refusal("REQUEST_ID_REUSED")
    return _done(answer, paid)


# CANCEL

#: What can be cancelled, and as which transactions the service knows it.
CANCELLED_KINDS: Final[Mapping[str, tuple[int, ...]]] = {
    "SELL": (v1.Transaction.ACTIVATE, v1.Transaction.ISSUE),
    "LOAD": (v1.Transaction.LOAD,),
    "REDEEM": (v1.Transaction.REDEEM,),
    "RETURN": (v1.Transaction.CLOSE,),
    "CREATE": (v1.Transaction.CREATE,),
    "CLOSE": (v1.Transaction.CLOSE,),
}
_OUTCOMES: Final = {
    v1.ReverseTransactionResponse.REVERSED: "CANCELLED",
    v1.ReverseTransactionResponse.NOTHING_TO_REVERSE: "NOTHING_TO_CANCEL",
    v1.ReverseTransactionResponse.TOMBSTONED: "NOTHING_TO_CANCEL",
    v1.ReverseTransactionResponse.ALREADY_REVERSED: "ALREADY_CANCELLED",
}
_LOOKED: Final = v1.LookupTransactionResponse
_AMBIGUOUS: Final = "Several transactions fit. Say which one by ID and operation type."


def cancel(m: Message) -> Steps:
    """Undoes an earlier operation: by its id, else by card, receipt and amount.

    Never an error where there is nothing to undo.  By id that is final: an original that arrives
    later is refused.
    """
    named = m.values.get("originalOperationType", "").upper()
    if named and named not in CANCELLED_KINDS:
        raise fields.invalid("originalOperationType", f"must be {' or '.join(CANCELLED_KINDS)}")
    if "originalRequestIDExternal" not in m.values:
        return (yield from _cancel_by_receipt(m, named))
    original = m.values["originalRequestIDExternal"]
    keys = [m.key(each, original) for each in ([named] if named else CANCELLED_KINDS)]
    found = yield from _look_up(m, keys, seal=False)
    if not found and not named:
        # Which of them is on its way nobody knows, so none may arrive any more.
        found = yield from _look_up(m, keys, seal=True)
        if not found:
            return _cancelled("NOTHING_TO_CANCEL")
    same = {key: looked for key, looked in found.items() if _is_same(m, looked)}
    done = [key for key, looked in same.items() if looked.state == _LOOKED.APPROVED]
    if len(done) > 1:
        raise Refusal("ORIGINAL_AMBIGUOUS", 409, _AMBIGUOUS)
    if found and not same:
        raise Refusal("ORIGINAL_MISMATCH", 409, "The original has another gift card or amount.")
    key = (done or list(same) or keys)[0]
    return (yield from _reverse(m, v1.ReverseTransactionRequest(original_request_id=key)))


def _look_up(
    m: Message, keys: list[str], *, seal: bool
) -> Generator[Rpc, Any, dict[str, v1.LookupTransactionResponse]]:
    """Those of the requests that were decided, by their keys."""
    found = {}
    for key in keys:
        request = v1.LookupTransactionRequest(request_id=key, seal=seal)
        looked = yield m.read("LookupTransaction", request)
        if looked.state in (_LOOKED.APPROVED, _LOOKED.REFUSED):
            found[key] = looked
    return found


def _is_same(m: Message, looked: v1.LookupTransactionResponse) -> bool:
    """A cancellation that names another card or amount is a mistake, not a wish."""
    endings = [each.code_last_four for each in looked.gift_cards]
    if endings and ending(m.values["cardID"]) not in endings:
        return False
    transaction = looked.transaction
    if "amount" not in m.values or not transaction.HasField("requested_amount"):
        return True
    moved = transaction.requested_amount
    return m.money("amount", moved.currency_code) == moved


def _cancel_by_receipt(m: Message, named: str) -> Steps:
    for name in ("amount", "clientTrx"):
        if name not in m.values:
            raise fields.invalid(name, "is mandatory without originalRequestIDExternal")
    looked = yield m.read("LookupGiftCard", v1.LookupGiftCardRequest(gift_card=m.card()))
    card: v1.GiftCard = looked.gift_card
    if m.values.get("currencyCode", card.currency_code) != card.currency_code:
        raise _refusal("CURRENCY_MISMATCH")
    amount = m.money("amount", card.currency_code)
    wanted = [named] if named else list(CANCELLED_KINDS)
    kinds = {kind for name in wanted for kind in CANCELLED_KINDS[name]}
    matches: list[v1.Transaction] = []
    page_token = ""
    while True:
        request = v1.ListTransactionsRequest(
            gift_card=card.name,
            receipt=m.values["clientTrx"],
            page_size=1000,
            page_token=page_token,
        )
        page = yield m.read("ListTransactions", request)
        matches += [
            each
            for each in page.transactions
            if each.kind in kinds
            and each.state == v1.Transaction.APPROVED
            and each.approved_amount == amount
        ]
        if not page.next_page_token:
            break
        page_token = page.next_page_token
    standing = [each for each in matches if not each.reversal_transaction]
    if len(standing) > 1:
        raise Refusal("ORIGINAL_AMBIGUOUS", 409, _AMBIGUOUS)
    if not standing:
        outcome = "ALREADY_CANCELLED" if matches else "NOTHING_TO_CANCEL"
        return {**_cancelled(outcome), "card": card}
    name = standing[0].name
    return (yield from _reverse(m, v1.ReverseTransactionRequest(transaction=name)))


def _reverse(m: Message, request: v1.ReverseTransactionRequest) -> Steps:
    answer = yield m.write("ReverseTransaction", request)
    transaction = answer.transaction
    return {
        **_cancelled(_OUTCOMES[answer.outcome]),
        "card": answer.gift_cards[0] if answer.gift_cards else None,
        "transaction": transaction,
        "amount": transaction.approved_amount if transaction.HasField("approved_amount") else None,
        "shortfall": answer.shortfall if answer.HasField("shortfall") else None,
    }


_OUTCOME_TEXTS: Final = {
    "CANCELLED": "Cancelled.",
    "NOTHING_TO_CANCEL": "There was nothing to cancel.",
    "ALREADY_CANCELLED": "It was cancelled already.",
}


def _cancelled(outcome: str) -> Facts:
    return {"cancelOutcome": outcome, "responseText": _OUTCOME_TEXTS[outcome]}


OPERATIONS: Final[Mapping[str, Callable[[Message], Steps]]] = {
    "STATUS": status,
    "SELL": sell,
    "LOAD": load,
    "REDEEM": redeem,
    "CANCEL": cancel,
    "CREATE": create,
    "UPDATE": update,
    "LOCK": lock,
    "UNLOCK": unlock,
    "CLOSE": close,
    "RETURN": return_card,
}


def message(request: LegacyRequest, config: Retail7Settings) -> Message:
    """Reads the message by the table of its operation.

    Raises:
        Refusal: the first member that is missing or wrong.
    """
    members = fields.folded(request.document)
    operation = members.get("operationtype")
    if operation is None or operation == "":
        raise fields.invalid("operationType", "is mandatory")
    operation = operation.upper() if type(operation) is str else ""
    table = fields.TABLES.get(operation)
    if table is None:
        raise fields.invalid("operationType", f"must be {' or '.join(OPERATIONS)}")
    return Message(operation, fields.read(members, table), request.now, config)
