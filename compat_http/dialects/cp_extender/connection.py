"""Connecting: login, status, version."""

import re
from typing import Any, Final

from giftcard import v1
from grpc_health.v1 import health_pb2

from compat_http.dialect import LegacyRequest, Operation, Reply, Rpc
from compat_http.dialects.cp_extender.answers import refusal
from compat_http.dialects.cp_extender.members import Members
from compat_http.dialects.cp_extender.tries import fresh
from compat_http.settings import CpSettings

_TOKEN_LENGTH_MAX: Final = 512
_BEARER: Final = re.compile(r"(?i:bearer) [!-~]{1,512}")


def bearer(request: LegacyRequest) -> str:
    """The caller's token as it came; "" for none.  Nothing else is a credential here."""
    value = request.headers.get("authorization", "")
    return value if _BEARER.fullmatch(value) else ""


def assigned_token(document: Any, config: CpSettings) -> str:
    """The credential of a login: the token that it brings as its password, "" for none."""
    wanted = config.login_password_member.casefold()
    members = document if isinstance(document, dict) else {}
    brought = [value for name, value in members.items() if name.casefold() == wanted]
    value = f"Bearer {brought[0]}" if [type(each) for each in brought] == [str] else ""
    return value if _BEARER.fullmatch(value) else ""


def login(request: LegacyRequest, config: CpSettings) -> Operation:
    """Answers the token that was brought, if it is one.

    Tokens are assigned by the merchant's administrator and are never made here.
    """
    token = Members(request.document).text(config.login_password_member, limit=_TOKEN_LENGTH_MAX)
    # Any call tells whether the token is good; this one needs no scope and finds nothing.
    unseen = v1.LookupTransactionRequest(request_id=fresh("login", request))
    yield Rpc("LookupTransaction", unseen)
    return Reply(200, {config.login_token_member: token})


def status(request: LegacyRequest, config: CpSettings) -> Operation:
    answer = yield Rpc("Check", health_pb2.HealthCheckRequest())
    if answer.status != health_pb2.HealthCheckResponse.SERVING:
        raise refusal("UNAVAILABLE")
    return Reply(
        200,
        {
            "Status": "Ok",
            "GlobalDefaults": {
                "eCommerceControlDefaults": {
                    "StrId": config.store_id,
                    "DrwId": config.drawer_id,
                },
                "installationSettings": {
                    "UsrId": config.user_id,
                    "MgGcProductType": config.gift_card_product_type,
                    "CpGcItemNo": config.gift_card_item,
                },
            },
        },
    )


def version(request: LegacyRequest, config: CpSettings) -> Operation:
    yield from ()  # there is nothing to ask
    return Reply(200, {"Version": config.version})
