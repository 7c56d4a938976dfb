"""Every field of the vendor's tables: type, length, mandatory or not.  One line is one message."""

from typing import Any

import pytest

from compat_http.dialects import retail7
from compat_http.dialects.retail7 import fields
from compat_http.settings import Settings
from compat_http.strict_json import exact_number as n
from tests.compat.drive import drive, request
from tests.compat.retail7.messages import BODIES, message

RETAIL7 = retail7.build(Settings())

#: Operation, what is changed in its message, and the words of the refusal.
REFUSED: list[tuple[str, dict[str, Any], str]] = [
    # Text of 40 characters at most
    *(
        (operation, {field.name: wrong}, f"{field.name} {words}.")
        for operation, table in fields.TABLES.items()
        for field in table
        if field.kind is fields.TEXT and field.name != "operationType"
        for wrong, words in (
            ("x" * 41, "must have at most 40 characters"),
            (n("12"), "must be a string"),
            (True, "must be a string"),
            (["x"], "must be a string"),
            ("a\tb", "must not contain control characters"),
        )
    ),
    # What is mandatory
    *(
        (operation, {field.name: absent}, f"{field.name} is mandatory.")
        for operation, table in fields.TABLES.items()
        for field in table
        if field.mandatory
        for absent in (..., None, "")
    ),
    # Each type
    ("STATUS", {"operationType": "PAY"}, "operationType must be STATUS or "),
    ("STATUS", {"operationType": n("1")}, "operationType must be STATUS or "),
    ("STATUS", {"timestamp": "2026-03-01"}, "timestamp must be a timestamp"),
    ("STATUS", {"timestamp": "2026-03-01T11:30:25"}, "timestamp must be a timestamp"),
    ("STATUS", {"timestamp": "2026-02-30T11:30:25Z"}, "timestamp is no instant"),
    ("STATUS", {"timestamp": "2026-03-01T24:30:25Z"}, "timestamp is no instant"),
    ("STATUS", {"timestamp": "1969-12-31T23:59:59Z"}, "timestamp must be from 1971"),
    ("STATUS", {"timestamp": n("1772356500")}, "timestamp must be a timestamp"),
    ("STATUS", {"trainingFlag": "yes"}, "trainingFlag must be true or false"),
    ("STATUS", {"trainingFlag": n("0")}, "trainingFlag must be true or false"),
    ("STATUS", {"cardID": "x" * 41}, "cardID must have at most 40 characters"),
    ("STATUS", {"cardID": n("12399")}, "cardID must be a string"),
    ("STATUS", {"cardID": "Ä1"}, "cardID must be printable ASCII"),
    ("STATUS", {"cardID": " - "}, "cardID must be printable ASCII"),
    ("STATUS", {"clientCountry": "USA"}, "clientCountry must be an ISO 3166-1"),
    ("STATUS", {"clientCountry": "1"}, "clientCountry must be an ISO 3166-1"),
    ("LOAD", {"currencyCode": "usd"}, "currencyCode must be an ISO 4217"),
    ("LOAD", {"currencyCode": "XXX"}, "currencyCode must be an ISO 4217"),
    ("LOAD", {"currencyCode": "US"}, "currencyCode must be an ISO 4217"),
    ("LOAD", {"amount": n("0")}, "amount must be greater than 0"),
    ("LOAD", {"amount": "0.00"}, "amount must be greater than 0"),
    ("LOAD", {"amount": n("-5.00")}, "amount must be a plain decimal"),
    ("LOAD", {"amount": "+5.00"}, "amount must be a plain decimal"),
    ("LOAD", {"amount": "5,00"}, "amount must be a plain decimal"),
    ("LOAD", {"amount": "5e2"}, "amount must be a plain decimal"),
    ("LOAD", {"amount": " 5"}, "amount must be a plain decimal"),
    ("LOAD", {"amount": "\u0665"}, "amount must be a plain decimal"),
    ("LOAD", {"amount": True}, "amount must be a number"),
    ("LOAD", {"amount": [n("5")]}, "amount must be a number"),
    ("LOAD", {"amount": n("5.001")}, "amount must have at most 2 decimals in USD"),
    ("LOAD", {"amount": n("5.0"), "currencyCode": "JPY"}, "amount must have at most 0 decimals"),
    ("LOAD", {"amount": n("10000000000.01")}, "amount is too large"),
    ("SELL", {"issuedByClient": "maybe"}, "issuedByClient must be true or false"),
    ("SELL", {"validFrom": "20.02.2021"}, "validFrom must be a date"),
    ("SELL", {"validFrom": "2021-02-20T00:00:00Z"}, "validFrom must be a date"),
    ("SELL", {"validUntil": "2026-02-29"}, "validUntil is no day"),
    ("SELL", {"validUntil": "1969-12-31"}, "validUntil must not be before 1970"),
    ("SELL", {"validFrom": "2026-03-02", "validUntil": "2026-03-01"}, "validUntil must not be bef"),
    ("SELL", {"maxBalance": "much"}, "maxBalance must be a plain decimal"),
    ("SELL", {"issuedByClient": True, "maxBalance": n("0")}, "maxBalance must be greater than 0"),
    ("SELL", {"issuedByClient": True, "maxBalance": n("1.001")}, "maxBalance must have at most"),
    ("SELL", {"reloadAllowed": n("1")}, "reloadAllowed must be true or false"),
    ("SELL", {"returnAllowed": "no"}, "returnAllowed must be true or false"),
    ("SELL", {"partRedeemAllowed": []}, "partRedeemAllowed must be true or false"),
    # Two spellings
    ("STATUS", {"requestIDexternal": "R2"}, "A member is given twice with two values"),
    ("LOAD", {"AMOUNT": n("6.00")}, "A member is given twice with two values"),
]


@pytest.mark.parametrize(("operation", "changes", "words"), REFUSED, ids=range(len(REFUSED)))
def test_refused(operation: str, changes: dict[str, Any], words: str) -> None:
    asked, reply = drive(RETAIL7, request(message(operation, **changes)))
    assert asked == []
    assert (reply.status, reply.document["responseCode"]) == (400, "INVALID_FIELD")
    assert reply.document["responseText"].startswith(words)


#: What each kind reads a value as.
READ: list[tuple[fields.Kind, Any, Any]] = [
    (fields.FLAG, True, True),
    (fields.FLAG, "True", True),
    (fields.FLAG, "TRUE", True),
    (fields.FLAG, "false", False),
    (fields.TEXT, "x" * 40, "x" * 40),
    (fields.TEXT, "Größe 1/2", "Größe 1/2"),
    (fields.CARD, "0012 34-5", "0012 34-5"),
    (fields.COUNTRY, "us", "US"),
    (fields.CURRENCY, "EUR", "EUR"),
]


@pytest.mark.parametrize(("kind", "value", "expected"), READ, ids=range(len(READ)))
def test_read(kind: fields.Kind, value: Any, expected: Any) -> None:
    assert kind.read(value) == expected


@pytest.mark.parametrize(
    "text",
    [
        "2021-02-21T11:30:25Z",
        "2021-02-21T11:30:25.9Z",
        "2021-02-21T11:30:25.930123456Z",
        "2021-02-21T12:30:25.930+01:00",
    ],
)
def test_timestamps(text: str) -> None:
    assert fields.TIMESTAMP.read(text).utctimetuple()[:6] == (2021, 2, 21, 11, 30, 25)


def test_every_operation_has_a_table_a_body_and_a_schema() -> None:
    assert set(fields.TABLES) == set(BODIES) == set(retail7.OPERATIONS)
    for operation, table in fields.TABLES.items():
        schema = fields.schema(operation)
        assert list(schema["properties"]) == [field.name for field in table]
        assert schema["required"] == [field.name for field in table if field.mandatory]
