"""RETAIL7 Gift Card API: one JSON message by POST, whose `operationType` says what is wanted.

The vendor documents the messages STATUS, SELL and LOAD with their fields, and names ten operations.
*Our convention* is everything else, since the vendor publishes none of it: the path; HTTP Basic (or
Bearer) as credential; the messages of REDEEM, CANCEL, CREATE, UPDATE, LOCK, UNLOCK and CLOSE, and
RETURN, for which it has a flag but no operation; every answer, status word and error.

A request id is one client's, in one store, for one operation: a till may use GC10 for a STATUS and
a SELL, as the vendor's examples do.  STATUS consumes none.  The same id with the same meaning
answers the first decision again; with another meaning it is refused with 409.

After 504 the till sends the message again under the same id, and has the answer.  When it does
not, what was asked is undone.
"""

from typing import Any, Final

from compat_http.dialect import (
    Dialect,
    LegacyRequest,
    Operation,
    Refusal,
    Reply,
    Route,
    Trace,
    authorization_header,
)
from compat_http.dialects.retail7 import answers, fields
from compat_http.dialects.retail7.operations import OPERATIONS, message
from compat_http.settings import Retail7Settings, Settings
from compat_http.strict_json import exact_number

#: What the vendor prints, with the missing comma of SELL put in.
EXAMPLES: Final[dict[str, dict[str, Any]]] = {
    "STATUS": {
        "requestIDExternal": "GC10", "timestamp": "2021-02-21T11:30:25.930Z",
        "trainingFlag": False, "operationType": "STATUS", "cardID": "12399",
        "clientStore": "1001", "clientCountry": "US", "clientID": "1001",
    },
    "SELL": {
        "requestIDExternal": "GC10", "timestamp": "2021-02-21T11:30:25.930Z",
        "trainingFlag": False, "operationType": "SELL", "cardID": "1234567",
        "amount": exact_number("5.00"),
        "currencyCode": "USD", "clientStore": "1001", "clientCountry": "US", "clientID": "1001",
        "clientTrx": "1001201910311001000004", "issuedByClient": False,
        "validFrom": "2021-02-20", "validUntil": "2023-02-20",
    },
    "LOAD": {
        "requestIDExternal": "GC111", "timestamp": "2021-02-21T11:30:25.930Z",
        "trainingFlag": False, "operationType": "LOAD", "cardID": "12300",
        "amount": exact_number("5.00"),
        "currencyCode": "USD", "clientStore": "1001", "clientCountry": "US", "clientID": "1001",
        "clientTrx": "1001201910311001000004",
    },
}  # fmt: skip


__all__ = ["EXAMPLES", "OPERATIONS", "build", "handle", "refuse", "trace"]


def handle(request: LegacyRequest, config: Retail7Settings) -> Operation:
    """Does what the message asks for."""
    m = message(request, config)
    facts = yield from OPERATIONS[m.operation](m)
    members: dict[str, Any] = {
        "requestIDExternal": m.values["requestIDExternal"],
        "operationType": m.operation,
        "cardID": m.values["cardID"],
        "trainingFlag": m.training,
        "responseCode": "OK",
        "responseText": facts.get("responseText", "OK"),
        "cancelOutcome": facts.get("cancelOutcome"),
        "timestamp": answers.timestamp(request.now),
    }
    card, transaction = facts.get("card"), facts.get("transaction")
    if card is not None:
        type_code, texts = _card_type(card.program.removeprefix("programs/"), config)
        members |= answers.card_members(card, type_code)
        members["customerText"] = texts.get(m.operation)
    for name in ("amount", "shortfall"):
        if facts.get(name) is not None:
            members[name] = answers.number(facts[name])
    if transaction is not None:
        members["transactionID"] = transaction.name.removeprefix("transactions/")
        # The instant of the decision, so that a replay reads like the first answer.
        members["timestamp"] = answers.timestamp(transaction.decide_time.ToDatetime(m.now.tzinfo))
    return Reply(200, _envelope(members, request, config))


def refuse(request: LegacyRequest, refusal: Refusal, config: Retail7Settings) -> Reply:
    """One shape for everything that is not done."""
    members = {
        **_echo(request.document),
        "responseCode": refusal.reason,
        "responseText": refusal.text,
        "timestamp": answers.timestamp(request.now),
    }
    return Reply(refusal.status, _envelope(members, request, config))


def _envelope(
    members: dict[str, Any], request: LegacyRequest, config: Retail7Settings
) -> dict[str, Any]:
    spelled = "requestIDExternal"
    if isinstance(request.document, dict) and spelled not in request.document:
        spelled = next((n for n in request.document if n.lower() == spelled.lower()), spelled)
    return answers.envelope(members, config.member_names, spelled)


def _echo(document: Any) -> dict[str, Any]:
    """What the client said of itself, as far as it can be read."""
    if not isinstance(document, dict):
        return {}
    members = {name.lower(): value for name, value in document.items()}
    echoed: dict[str, Any] = {}
    for field in fields.COMMON:
        if field.name in ("requestIDExternal", "trainingFlag", "operationType", "cardID"):
            try:
                echoed[field.name] = field.kind.read(members.get(field.name.lower()))
            except ValueError:
                continue
    return echoed


def _card_type(program: str, config: Retail7Settings) -> tuple[str, dict[str, str]]:
    """Type code and texts for the customer of a program; its own id where none is listed."""
    for code, listed in config.card_types.items():
        if listed["program"] == program:
            return code, listed.get("texts", {})
    return program, {}


def trace(request: LegacyRequest) -> Trace:
    """What the log looks a message up by."""
    echoed = _echo(request.document)
    return Trace(
        echoed.get("operationType", ""),
        echoed.get("requestIDExternal", ""),
        echoed.get("cardID", ""),
    )


def build(settings: Settings) -> Dialect:
    config = settings.retail7
    names = config.member_names
    return Dialect(
        name="retail7",
        title="RETAIL7 Gift Card API",
        operations=frozenset(OPERATIONS),
        description=__doc__,
        config=config,
        routes=(
            Route(
                method="POST",
                path=config.path,
                name="giftcard",
                summary="Does what operationType says with one gift card.",
                operation=handle,
                request_schema={"oneOf": [fields.schema(name) for name in OPERATIONS]},
                request_examples=EXAMPLES,
                response_schema=answers.schema(names),
            ),
        ),
        credentials=authorization_header,
        challenge='Basic realm="gift cards", charset="UTF-8"',
        reasons=answers.REASONS,
        refuse=refuse,
        trace=trace,
        budget_milliseconds=config.budget_milliseconds,
        error_schema=answers.error_schema(names),
        code_members=frozenset({"cardid"}),
        repairs_commas=config.repair_commas,
    )
