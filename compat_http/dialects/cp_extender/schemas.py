"""The JSON schemas and printed examples of CP Extender, for OpenAPI and for what the log keeps."""

from collections.abc import Mapping
from typing import Any, Final

from compat_http.strict_json import exact_number

Schema = Mapping[str, Any]

_TEXT: Final = {"type": "string", "maxLength": 128}
_WHOLE: Final = {
    "oneOf": [
        {"type": "integer", "minimum": 0},
        {"type": "string", "pattern": r"^[0-9]{1,15}(\.0{1,4})?$"},
    ]
}
_AMOUNT: Final = {
    "oneOf": [
        {"type": "number", "exclusiveMinimum": 0},
        {"type": "string", "pattern": r"^[0-9]{1,13}(\.[0-9]{1,4})?$"},
    ]
}
_ID: Final = {"oneOf": [_TEXT, {"type": "integer", "minimum": 0}]}
_NULLABLE: Final = {"type": ["string", "null"]}
_DAY: Final = {"type": "string", "pattern": "^[0-9]{2}/[0-9]{2}/[0-9]{4}$"}


def _object(required: tuple[str, ...], **properties: Any) -> dict[str, Any]:
    return {"type": "object", "required": list(required), "properties": properties}


RESERVE_IDS: Final = _object(
    ("Agency",),
    RequestName={**_TEXT, "description": "Name of the batch; not unique. Default: the time."},
    RequestType={
        "type": "string",
        "pattern": "^([Ss]ingle|[Pp]ool)$",
        "description": "single: one id for an hour. pool: PoolCount ids for ever. Default: single.",
    },
    PoolCount={**_WHOLE, "description": "How many ids; ignored for single. Cut to the maximum."},
    Agency={**_TEXT, "minLength": 1, "description": "Company or campaign the pool is for."},
)
RESERVED_IDS: Final = _object(("GiftCards",), GiftCards={"type": "array", "items": _TEXT})

CREATE: Final = _object(
    ("GiftCardCode", "GiftCardValue"),
    CustomerNumber={**_ID, "description": "A known customer. Required for PointsToRedeem."},
    GiftCardId={**_ID, "description": "An id that ReserveIds gave. Default: a new one."},
    GiftCardCode={**_TEXT, "description": "The kind of gift card."},
    GiftCardValue={**_AMOUNT, "description": "The value of the gift card."},
    SaleId={**_ID, "description": "The sale that pays. Required without PointsToRedeem."},
    PointsToRedeem={**_WHOLE, "description": "The customer's points that pay."},
)
CREATED: Final = _object(("GiftCard",), GiftCard=_object(("Id",), Id=_TEXT))

_LINE: Final = {
    "Date": _DAY,
    "Amount": {"type": "number"},
    "Location": _NULLABLE,
    "Document": _NULLABLE,
}
BALANCE: Final = _object(
    ("GiftCard",),
    GiftCard=_object(
        ("Id", "Type", "Status", "Balance", "OpenAuthorizations", "AvailableBalance", "History"),
        Id=_TEXT,
        Type={"const": "giftcard"},
        Status={"enum": ["active", "inactive", "locked", "voided", "expired"]},
        Balance={"type": "number"},
        OpenAuthorizations={"type": "number"},
        AvailableBalance={"type": "number"},
        History={
            "type": "array",
            "items": _object(
                ("Activity", "Date", "Amount", "Location", "Document"),
                Activity={"type": "string"},
                **_LINE,
            ),
        },
    ),
)
CERTIFICATE: Final = {"type": "string", "format": "binary"}

AUTHORIZE: Final = _object(
    ("Type", "Ref", "SaleId"),
    Type={"type": "string", "pattern": "^([Gg]ift[Cc]ard|[Ll]oyalty)$"},
    Ref={**_ID, "description": "Id of the gift card; for loyalty the customer's number."},
    SaleId={**_ID, "description": "The sale. The same call again has the same AuthCode."},
    RequestedAmount={**_AMOUNT, "description": "For giftcard. Less may be authorized."},
    RequestedPoints={**_WHOLE, "description": "For loyalty. Less may be authorized."},
)
AUTHORIZE_LOYALTY: Final = {**AUTHORIZE, "required": ["Ref", "SaleId", "RequestedPoints"]}
AUTHORIZED: Final = _object(
    ("RequestId", "Type", "AuthorizedAmount", "AuthCode"),
    RequestId={"type": "string", "format": "uuid"},
    Type={"enum": ["giftcard", "loyalty"]},
    AuthorizedAmount={"type": "number", "description": "Money, or for loyalty points."},
    AuthCode={"type": "string", "pattern": "^G[0-9A-F]{32}$"},
)
SETTLE: Final = _object(
    ("Ref", "AuthCode"),
    Ref={**_ID, "description": "As it was authorized."},
    AuthCode={"type": "string", "description": "As it was answered."},
)

EARN: Final = _object(
    ("CustomerNumber", "Points"),
    CustomerNumber=_ID,
    Points={**_WHOLE, "description": "At least 1."},
    Reason={"type": "string", "maxLength": 255},
    Reference=_ID,
)
_PERIOD: Final = {
    "startDate": "MM/dd/yyyy HH:mm:ss.fff, UTC. Default: a year before endDate.",
    "endDate": "MM/dd/yyyy HH:mm:ss.fff, UTC. Default: now.",
}
PERIOD: Final = tuple(
    {"name": name, "in": "query", "required": False, "schema": _TEXT, "description": text}
    for name, text in _PERIOD.items()
)
POINTS: Final = _object(
    ("PointBalance", "OpenAuthorizations", "PendingPointsEarned", "AvailablePointBalance",
     "History"),
    PointBalance={"type": "integer"},
    OpenAuthorizations={"type": "integer"},
    PendingPointsEarned={"type": "integer"},
    AvailablePointBalance={"type": "integer"},
    History={
        "type": "array",
        "items": _object(
            ("Date", "Amount", "Location", "Document"),
            Activity={"enum": ["Historical Summary", "Pending Charge"]},
            **_LINE,
        ),
    },
)  # fmt: skip

STATUS: Final = _object(
    ("Status", "GlobalDefaults"),
    Status={"const": "Ok"},
    GlobalDefaults=_object(
        ("eCommerceControlDefaults", "installationSettings"),
        eCommerceControlDefaults=_object(
            ("StrId", "DrwId"), StrId={"type": "string"}, DrwId={"type": "string"}
        ),
        installationSettings=_object(
            ("UsrId", "MgGcProductType", "CpGcItemNo"),
            UsrId={"type": "string"},
            MgGcProductType={"type": "string"},
            CpGcItemNo={"type": "string"},
        ),
    ),
)
VERSION: Final = _object(("Version",), Version={"type": "string"})


def login(password: str) -> dict[str, Any]:
    return _object((password,), UserName=_TEXT, **{password: {"type": "string"}})


def logged_in(token: str) -> dict[str, Any]:
    return _object((token,), **{token: {"type": "string"}})


#: What the vendor prints.
RESERVE_IDS_EXAMPLES: Final = {
    "pool": {
        "RequestName": "Web001", "RequestType": "pool", "PoolCount": 10, "Agency": "Website",
    },
}  # fmt: skip
CREATE_EXAMPLES: Final = {
    "sale": {
        "CustomerNumber": "2059378440", "GiftCardId": "99-53235753896117470",
        "GiftCardCode": "GC", "GiftCardValue": 100, "SaleId": "123456789",
    },
    "points": {
        "CustomerNumber": "2059378440", "GiftCardId": "99-53235753896117470",
        "GiftCardCode": "GC", "GiftCardValue": 50, "PointsToRedeem": "5000",
    },
}  # fmt: skip
AUTHORIZE_EXAMPLES: Final = {
    "giftcard": {
        "Type": "giftcard", "Ref": "WEB-9198262557214413", "SaleId": "WB-100-10259",
        "RequestedAmount": exact_number("40.00"),
    },
}  # fmt: skip
SETTLE_EXAMPLES: Final = {
    "giftcard": {
        "Ref": "WEB-9198262557214413", "AuthCode": "GDA17E1614ABBA6596E5B3BA3781B339B",
    },
}  # fmt: skip
