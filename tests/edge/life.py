"""One good request to every operation of the REST surface, each on what the earlier ones made.

`<CreateProgram.name>` stands for a member of an earlier answer, `<CreateProgram.id>` for the last
part of its name, `<tag>` for a word that is new each time.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

_MANY: Final = {"minorUnits": "5000", "currencyCode": "USD"}
_FEW: Final = {"minorUnits": "100", "currencyCode": "USD"}
_CARD: Final = {"name": "<IssueGiftCard.giftCard.name>"}
_OTHER: Final = {"name": "<CreateGiftCard.giftCard.name>"}
_CLIENT: Final = {"merchant": "demo", "api_client": "<tag>"}
_CREDENTIAL: Final = {**_CLIENT, "credential": "<RotateCredential.credential.id>"}
_PLACE: Final = {"countryCode": "US", "timeZone": "America/Chicago"}

#: Operation, parameters of its path, and its body or query without a request id.
LIFE: Final[tuple[tuple[str, Mapping[str, str], Mapping[str, Any]], ...]] = (
    ("GetMerchant", {"merchant": "demo"}, {}),
    (
        "CreateApiClient",
        {"merchant": "demo"},
        {"apiClientId": "<tag>", "apiClient": {"scopes": ["READ"]}},
    ),
    ("GetApiClient", _CLIENT, {}),
    ("ListApiClients", {"merchant": "demo"}, {"pageSize": 2}),
    (
        "UpdateApiClient",
        _CLIENT,
        {"apiClient": {"displayName": "Spare"}, "updateMask": "displayName"},
    ),
    ("CreateCredential", _CLIENT, {"credential": {"kind": "TOKEN"}}),
    ("RotateCredential", {**_CLIENT, "credential": "<CreateCredential.id>"}, {"overlap": "0s"}),
    ("ListCredentials", _CLIENT, {}),
    ("RevokeCredential", _CREDENTIAL, {}),
    ("CreateLocation", {}, {"locationId": "<tag>", "location": _PLACE}),
    ("GetLocation", {"location": "<tag>"}, {}),
    ("ListLocations", {}, {}),
    ("UpdateLocation", {"location": "<tag>"}, {"location": {"displayName": "Corner"}}),
    (
        "CreateProgram",
        {},
        {
            "programId": "<tag>",
            "program": {
                "currencyCode": "USD",
                "validity": {"months": 12},
                "codeFormat": {"prefix": "T-"},
            },
        },
    ),
    ("GetProgram", {"program": "<tag>"}, {}),
    ("ListPrograms", {}, {"state": "ACTIVE"}),
    (
        "UpdateProgram",
        {"program": "<tag>"},
        {"program": {"pointsPerMajorUnit": "10"}, "updateMask": "pointsPerMajorUnit"},
    ),
    ("CreateCustomer", {}, {"customerId": "<tag>", "customer": {"labels": {"tier": "gold"}}}),
    ("GetCustomer", {"customer": "<tag>"}, {}),
    ("ListCustomers", {}, {"pageSize": 1}),
    ("UpdateCustomer", {"customer": "<tag>"}, {"customer": {"externalReference": "7"}}),
    ("EarnPoints", {"customer": "<tag>"}, {"points": "5000"}),
    ("AdjustPoints", {"customer": "<tag>"}, {"points": "-5", "context": {"reason": "counted"}}),
    ("AuthorizePoints", {"customer": "<tag>"}, {"points": "10"}),
    ("CreateGiftCard", {}, {"program": "programs/GC", "labels": {"shelf": "3"}}),
    ("ActivateGiftCard", {}, {"giftCard": _OTHER, "amount": _MANY}),
    (
        "IssueGiftCard",
        {},
        {
            "program": "programs/<tag>",
            "amount": _MANY,
            "customer": "customers/<tag>",
            "context": {"location": "locations/<tag>", "clientTime": "2026-03-01T12:00:00Z"},
        },
    ),
    ("GetGiftCard", {"gift_card": "<IssueGiftCard.giftCard.id>"}, {}),
    ("LookupGiftCard", {}, {"giftCard": {"code": "<IssueGiftCard.giftCard.code>"}}),
    ("ListGiftCards", {}, {"program": "programs/<tag>"}),
    (
        "UpdateGiftCard",
        {"gift_card": "<IssueGiftCard.giftCard.id>"},
        {"giftCard": {"batch": "B1", "pin": ""}, "updateMask": "batch,pin"},
    ),
    ("LoadGiftCard", {}, {"giftCard": _CARD, "amount": _MANY, "origin": "PROMO"}),
    ("RedeemGiftCard", {}, {"giftCard": _CARD, "amount": _FEW}),
    (
        "RedeemGiftCards",
        {},
        {"giftCards": [_CARD, _OTHER], "amount": _FEW, "order": "SOONEST_EXPIRY_FIRST"},
    ),
    ("RefundGiftCard", {}, {"transaction": "<RedeemGiftCard.transaction.name>", "amount": _FEW}),
    ("AuthorizeGiftCard", {}, {"giftCard": _CARD, "amount": _MANY, "expireAfter": "3600s"}),
    ("CaptureHold", {"hold": "<AuthorizeGiftCard.hold.id>"}, {"amount": _FEW}),
    ("GetHold", {"hold": "<AuthorizeGiftCard.hold.id>"}, {}),
    ("ListHolds", {}, {"giftCard": "<IssueGiftCard.giftCard.name>", "state": "OPEN"}),
    ("VoidHold", {"hold": "<AuthorizeGiftCard.hold.id>"}, {}),
    ("ReverseTransaction", {}, {"originalRequestId": "<RedeemGiftCards.transaction.requestId>"}),
    (
        "LookupTransaction",
        {},
        {"requestId": "<RedeemGiftCards.transaction.requestId>", "seal": True},
    ),
    ("GetTransaction", {"transaction": "<LoadGiftCard.transaction.id>"}, {}),
    (
        "ListTransactions",
        {},
        {"giftCard": "<IssueGiftCard.giftCard.name>", "startTime": "2026-01-01T00:00:00Z"},
    ),
    ("LockGiftCard", {}, {"giftCard": _CARD, "context": {"reason": "lost"}}),
    ("UnlockGiftCard", {}, {"giftCard": _CARD}),
    (
        "AdjustGiftCard",
        {},
        {
            "giftCard": _CARD,
            "amount": {"minorUnits": "-1", "currencyCode": "USD"},
            "context": {"reason": "counted"},
        },
    ),
    ("TransferBalance", {}, {"source": _CARD, "target": _OTHER, "amount": _FEW}),
    ("RenderCertificate", {}, {"giftCard": _CARD, "format": "PDF"}),
    ("CloseGiftCard", {}, {"giftCard": _CARD, "disposition": "TRANSFER", "transferTarget": _OTHER}),
    (
        "ReserveCodes",
        {},
        {"program": "programs/GC", "agency": "Printers", "count": 3, "expireAfter": "86400s"},
    ),
    ("ReleaseCodes", {}, {"reservation": "<ReserveCodes.reservation.name>"}),
)
#: What only the operator of the platform may do; the demo merchant's client may not.
PLATFORM: Final = ("CreateMerchant", "ListMerchants")

_PLACEHOLDER: Final = re.compile(r"<([A-Za-z.]+)>")


def live(
    call: Callable[[str, Mapping[str, str], dict[str, Any]], Any], *, tag: str
) -> dict[str, Any]:
    """Asks all of it with `call(operation, path, body)`; returns the answers by operation."""
    answers: dict[str, Any] = {"tag": tag}

    def filled(value: Any) -> Any:
        if isinstance(value, str):
            return _PLACEHOLDER.sub(lambda found: str(_member(answers, found[1])), value)
        if isinstance(value, Mapping):
            return {name: filled(each) for name, each in value.items()}
        return [filled(each) for each in value] if isinstance(value, list | tuple) else value

    for operation, path, body in LIFE:
        answers[operation] = call(operation, filled(path), filled(body))
    return answers


def _member(answers: Any, path: str) -> Any:
    """A member of an earlier answer; `id` is the last part of its name."""
    for name in path.split("."):
        answers = answers["name"].rpartition("/")[2] if name == "id" else answers[name]
    return answers
