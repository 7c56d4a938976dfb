"""Login, status, version; numbers, log and credentials, purely."""

from typing import Any

import pytest
from giftcard import v1
from grpc_health.v1 import health_pb2

from compat_http.dialect import credential_of
from compat_http.dialects.cp_extender import answers
from compat_http.strict_json import write
from tests.compat.cp_extender.steps import CP, ROUTES, UNSEEN, ask
from tests.compat.drive import request

LOGIN = CP.routes[ROUTES["SSO.Login"]]
CREATE = CP.routes[ROUTES["Giftcard.Create"]]


def test_login_answers_the_assigned_token() -> None:
    (rpc,), reply = ask("SSO.Login", {"UserName": "web", "password": "t0ken"}, [UNSEEN])
    assert rpc.message == v1.LookupTransactionRequest(request_id="cp/login/" + "f" * 32)
    assert (reply.status, reply.document) == (200, {"Token": "t0ken"})


def test_login_with_another_word() -> None:
    _, reply = ask("SSO.Login", {"UserName": "web", "Password": "word"}, ["UNAUTHENTICATED"])
    assert (reply.status, reply.document) == (401, {"Message": "Unauthorized"})


#: Body of a login, and the credential that it is.
BODIES: list[tuple[Any, str]] = [
    ({"Password": "t0ken"}, "Bearer t0ken"),
    ({"UserName": "web", "PASSWORD": "t0ken"}, "Bearer t0ken"),
    ({"Password": ""}, ""),
    ({"Password": "two words"}, ""),
    ({"Password": "t\u00f6ken"}, ""),
    ({"Password": "x" * 513}, ""),
    ({"Password": ["t0ken"]}, ""),
    ({"Password": "one", "password": "two"}, ""),
    ({"UserName": "t0ken"}, ""),
]


@pytest.mark.parametrize(("body", "credential"), BODIES)
def test_the_credential_of_a_login(body: Any, credential: str) -> None:
    assert credential_of(CP, LOGIN, request(body)) == credential
    assert credential_of(CP, CREATE, request(body)) == "", "it opens no other door"


@pytest.mark.parametrize(
    ("header", "taken"),
    [("Bearer t0ken", True), ("bearer t0ken", True), ("Basic d2Vi", False), ("Bearer ", False),
     ("Bearer a b", False), ("Bearer \u00f6", False), ("", False)],
)  # fmt: skip
def test_only_bearer_is_a_credential(header: str, taken: bool) -> None:
    legacy = request({}, headers={"authorization": header})
    assert credential_of(CP, CREATE, legacy) == (header if taken else "")


def test_status_as_printed() -> None:
    serving = health_pb2.HealthCheckResponse(status=health_pb2.HealthCheckResponse.SERVING)
    _, reply = ask("Connection.Status", None, [serving])
    assert write(reply.document).decode() == (
        '{"Status":"Ok","GlobalDefaults":{"eCommerceControlDefaults":{"StrId":"99","DrwId":"99"},'
        '"installationSettings":{"UsrId":"Z","MgGcProductType":"giftvoucher",'
        '"CpGcItemNo":"GIFTCARD"}}}'
    )
    stopping = health_pb2.HealthCheckResponse(status=health_pb2.HealthCheckResponse.NOT_SERVING)
    _, reply = ask("Connection.Status", None, [stopping])
    assert reply.status == 503


def test_version_as_printed() -> None:
    asked, reply = ask("Connection.GetVersion")
    assert (asked, reply.document) == ([], {"Version": "1.0.0.0"})


@pytest.mark.parametrize(
    ("units", "currency", "text"),
    [
        (10000, "USD", "100.00"), (0, "USD", "0.0"), (5, "USD", "0.05"), (-4000, "USD", "-40.00"),
        (500, "JPY", "500.0"), (0, "JPY", "0.0"), (1250, "KWD", "1.250"),
    ],
)  # fmt: skip
def test_numbers(units: int, currency: str, text: str) -> None:
    money = v1.Money(minor_units=units, currency_code=currency)
    assert write(answers.number(money)).decode() == text


#: Body and path, and what the log looks it up by: the request's own id and a code.
TRACES: list[tuple[Any, dict[str, str], str, str]] = [
    ({"saleid": "S1", "GiftCardId": "99-1", "CustomerNumber": "20"}, {}, "S1", "99-1"),
    ({"Ref": "WEB-1", "AuthCode": "G1"}, {}, "G1", "WEB-1"),
    ({"CustomerNumber": 20, "Reference": "R"}, {}, "R", "20"),
    (None, {"card_id": "WEB-1"}, "", "WEB-1"),
    ({"startDate": "x"}, {"customer_id": "20"}, "", "20"),
    ({"Ref": ["x"], "SaleId": {"x": 1}}, {}, "", ""),
    ([], {}, "", ""),
]


@pytest.mark.parametrize(("body", "path", "request_id", "code"), TRACES)
def test_trace(body: Any, path: dict[str, str], request_id: str, code: str) -> None:
    assert CP.trace(request(body, path=path)) == ("", request_id, code)
