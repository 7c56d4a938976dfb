"""The paths of CP Extender, each with what OpenAPI tells of it."""

from collections.abc import Callable
from functools import partial
from typing import Any

from compat_http.dialect import LegacyRequest, Operation, Route
from compat_http.dialects.cp_extender import (
    authorizations,
    connection,
    gift_cards,
    loyalty,
    schemas,
)
from compat_http.settings import CpSettings


def _post(
    path: str,
    summary: str,
    operation: Callable[[LegacyRequest, Any], Operation],
    request_schema: schemas.Schema,
    response_schema: schemas.Schema | None = None,
    **more: Any,
) -> Route:
    return Route(
        method="POST",
        path=path,
        name=path.strip("/").replace("/", "."),
        summary=summary,
        operation=operation,
        request_schema=request_schema,
        response_schema=response_schema,
        success=204 if response_schema is None else 200,
        **more,
    )


def _get(
    path: str,
    summary: str,
    operation: Callable[[LegacyRequest, Any], Operation],
    response_schema: schemas.Schema,
    **more: Any,
) -> Route:
    return Route(
        method="GET",
        path=path,
        name=path.strip("/").replace("/", ".").replace("{", "").replace("}", ""),
        summary=summary,
        operation=operation,
        response_schema=response_schema,
        changes_state=False,
        **{"reads_body": False, **more},
    )


def routes(config: CpSettings) -> tuple[Route, ...]:
    return (*_gift_card_routes(), *_loyalty_routes(), *_connection_routes(config))


def _gift_card_routes() -> tuple[Route, ...]:
    check = ("What the gift card is worth and what happened to it.", gift_cards.balance_check,
             schemas.BALANCE)  # fmt: skip
    print_ = partial(_get, summary="The gift card as a picture for its holder.",
                     operation=gift_cards.certificate, response_schema=schemas.CERTIFICATE,
                     success_content_type="image/jpeg")  # fmt: skip
    return (
        _post(
            "/Giftcard/ReserveIds", "Reserves gift card ids.", gift_cards.reserve_ids,
            schemas.RESERVE_IDS, schemas.RESERVED_IDS,
            request_examples=schemas.RESERVE_IDS_EXAMPLES,
        ),
        _post(
            "/Giftcard/Create", "Creates a gift card, paid by a sale or by points.",
            gift_cards.create, schemas.CREATE, schemas.CREATED,
            request_examples=schemas.CREATE_EXAMPLES,
        ),
        _get("/Giftcard/{card_id}/BalanceCheck", *check),
        _get("/Giftcard/BalanceCheck/{card_id}", *check),
        print_("/Giftcard/{card_id}/Certificate"),
        print_("/Giftcard/Certificate/{card_id}"),
        _post(
            "/Giftcard/Authorize", "Keeps value of a gift card, or points, aside for a sale.",
            authorizations.authorize, schemas.AUTHORIZE, schemas.AUTHORIZED,
            request_examples=schemas.AUTHORIZE_EXAMPLES,
        ),
        _post(
            "/Authorize/Confirm", "Takes what was authorized.", authorizations.confirm,
            schemas.SETTLE, request_examples=schemas.SETTLE_EXAMPLES,
        ),
        _post(
            "/Authorize/Cancel", "Gives back what was authorized.", authorizations.cancel,
            schemas.SETTLE, request_examples=schemas.SETTLE_EXAMPLES,
        ),
    )  # fmt: skip


def _loyalty_routes() -> tuple[Route, ...]:
    check = ("The customer's points and what happened to them.", loyalty.balance_check,
             schemas.POINTS)  # fmt: skip
    return (
        _post("/Loyalty/Earn", "Credits points.", loyalty.earn, schemas.EARN),
        _get(
            "/Loyalty/{customer_id}/BalanceCheck", *check, reads_body=True,
            parameters=schemas.PERIOD,
        ),
        _get(
            "/Loyalty/BalanceCheck/{customer_id}", *check, reads_body=True,
            parameters=schemas.PERIOD,
        ),
        _post(
            "/Loyalty/Authorize", "Keeps points aside for a sale.",
            authorizations.authorize_loyalty, schemas.AUTHORIZE_LOYALTY, schemas.AUTHORIZED,
        ),
    )  # fmt: skip


def _connection_routes(config: CpSettings) -> tuple[Route, ...]:
    return (
        _post(
            "/SSO/Login", "Checks an assigned token and answers it.", connection.login,
            schemas.login(config.login_password_member),
            schemas.logged_in(config.login_token_member),
            credentials=lambda request: connection.assigned_token(request.document, config),
        ),
        _get(
            "/Connection/Status", "Whether the service can be used.", connection.status,
            schemas.STATUS, public=True,
        ),
        _get(
            "/Connection/GetVersion", "The version of the API.", connection.version,
            schemas.VERSION, public=True,
        ),
    )  # fmt: skip
