"""Replays, reused request ids and races of the set-up's services."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from giftcard import v1
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from tests.rpc.setup_stage import ENGINES, Stage, dollars, open_stage, unique

TILL = "merchants/own/apiClients/till"


@pytest.fixture(scope="module", params=ENGINES)
def stage(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stage]:
    with open_stage(request, tmp_path_factory) as stage:
        yield stage


def _location(location_id: str, name: str) -> v1.CreateLocationRequest:
    return v1.CreateLocationRequest(
        location_id=location_id,
        location=v1.Location(display_name=name, country_code="US", time_zone="UTC"),
        request_id=unique(),
    )


def _program(program_id: str, name: str) -> v1.CreateProgramRequest:
    return v1.CreateProgramRequest(
        program_id=program_id,
        program=v1.Program(display_name=name, currency_code="USD", denominations=[dollars(5)]),
        request_id=unique(),
    )


def _client(client_id: str, name: str) -> v1.CreateApiClientRequest:
    return v1.CreateApiClientRequest(
        parent="merchants/own",
        api_client_id=client_id,
        api_client=v1.ApiClient(display_name=name, scopes=[v1.ApiClient.READ]),
        request_id=unique(),
    )


def _credential(stage: Stage, client: str = "") -> v1.CreateCredentialRequest:
    parent = client or stage.answer("CreateApiClient", _client(unique("c"), "")).name
    return v1.CreateCredentialRequest(
        parent=parent, credential=v1.Credential(kind=v1.Credential.TOKEN), request_id=unique()
    )


def _issued(stage: Stage) -> str:
    name: str = stage.answer("CreateCredential", _credential(stage)).name
    return name


#: Method -> a request that is carried out, and how to make another meaning of it.
Change = Callable[[Any], None]


def _writes(stage: Stage) -> list[tuple[str, Message, Change]]:
    def rename(field: str) -> Change:
        return lambda request: setattr(getattr(request, field), "display_name", "other")

    def expire(request: Any) -> None:
        holder = request.credential if hasattr(request, "credential") else request
        holder.expire_time.CopyFrom(Timestamp(seconds=4_000_000_000))

    def explain(request: Any) -> None:
        request.context.reason = "because"

    program = v1.Program(name="programs/GC", display_name=unique())
    location = v1.Location(name="locations/own-shop", display_name=unique())
    client = v1.ApiClient(name=TILL, display_name=unique())
    merchant = v1.Merchant(display_name="Fresh", time_zone="UTC")
    return [
        ("CreateProgram", _program(unique("P"), "first"), rename("program")),
        (
            "UpdateProgram",
            v1.UpdateProgramRequest(program=program, request_id=unique()),
            rename("program"),
        ),
        ("CreateLocation", _location(unique("L"), "first"), rename("location")),
        (
            "UpdateLocation",
            v1.UpdateLocationRequest(location=location, request_id=unique()),
            rename("location"),
        ),
        (
            "CreateMerchant",
            v1.CreateMerchantRequest(
                merchant_id=unique("m"), merchant=merchant, request_id=unique()
            ),
            rename("merchant"),
        ),
        ("CreateApiClient", _client(unique("c"), "first"), rename("api_client")),
        (
            "UpdateApiClient",
            v1.UpdateApiClientRequest(api_client=client, request_id=unique()),
            rename("api_client"),
        ),
        ("CreateCredential", _credential(stage), expire),
        (
            "RotateCredential",
            v1.RotateCredentialRequest(name=_issued(stage), request_id=unique()),
            expire,
        ),
        (
            "RevokeCredential",
            v1.RevokeCredentialRequest(name=_issued(stage), request_id=unique()),
            explain,
        ),
    ]


METHODS = (
    "CreateProgram", "UpdateProgram", "CreateLocation", "UpdateLocation", "CreateMerchant",
    "CreateApiClient", "UpdateApiClient", "CreateCredential", "RotateCredential",
    "RevokeCredential",
)  # fmt: skip


def _without_secret(message: Any) -> Any:
    shown = type(message)()
    shown.CopyFrom(message)
    for holder in (shown, getattr(shown, "credential", None)):
        if isinstance(holder, v1.Credential):
            holder.secret = ""
    return shown


@pytest.mark.parametrize("method", METHODS)
def test_a_replay_is_the_first_answer_without_its_secret(stage: Stage, method: str) -> None:
    (request, change) = next(write[1:] for write in _writes(stage) if write[0] == method)
    who = "platform" if method == "CreateMerchant" else "own"
    first = stage.call(method, request, who)
    assert (first.code, first.replayed) == ("OK", False)
    rows = stage.rows()
    second = stage.call(method, request, who)
    assert (second.code, second.replayed) == ("OK", True)
    assert second.message == _without_secret(first.message)
    change(request)
    other = stage.call(method, request, who)
    assert (other.code, other.reason) == ("ALREADY_EXISTS", "REQUEST_ID_REUSED")
    assert stage.rows() == rows


@pytest.mark.parametrize("method", ["CreateCredential", "RotateCredential"])
def test_the_first_answer_has_the_secret(stage: Stage, method: str) -> None:
    request = next(write[1] for write in _writes(stage) if write[0] == method)
    answer = stage.answer(method, request)
    secret = answer.secret if method == "CreateCredential" else answer.credential.secret
    assert secret.startswith("gct_")


def test_a_replay_answers_what_was_whatever_came_after(stage: Stage) -> None:
    created = _program(unique("P"), "first")
    first = stage.answer("CreateProgram", created)
    renamed = v1.UpdateProgramRequest(
        program=v1.Program(name=first.name, display_name="second", etag=first.etag),
        request_id=unique(),
    )
    second = stage.answer("UpdateProgram", renamed)
    # By now the id is taken and the etag is old; neither is held against a replay.
    assert stage.answer("CreateProgram", created) == first
    assert stage.answer("UpdateProgram", renamed) == second
    assert stage.answer("GetProgram", v1.GetProgramRequest(name=first.name)) == second


def test_a_request_that_was_not_carried_out_keeps_its_id(stage: Stage) -> None:
    name = unique("L")
    update = v1.UpdateLocationRequest(
        location=v1.Location(name=f"locations/{name}", display_name="New"), request_id=unique()
    )
    assert stage.call("UpdateLocation", update).reason == "LOCATION_NOT_FOUND"
    stage.answer("CreateLocation", _location(name, "Old"))
    said = stage.call("UpdateLocation", update)
    assert (said.code, said.replayed, said.message.display_name) == ("OK", False, "New")


def _all_at_once(stage: Stage, method: str, requests: list[Any]) -> dict[str, int]:
    """Outcome (OK or reason) -> how many requests had it."""
    futures = [stage.begin(method, request, "own") for request in requests]
    outcomes = [stage.wait(future) for future in futures]
    names = [said.reason or said.code for said in outcomes]
    return {name: names.count(name) for name in names}


RACERS = 8


def _updates(stage: Stage, method: str, *, with_etag: bool, count: int) -> list[Any]:
    requests: list[Any] = []
    for number in range(count):
        request: Any
        if method == "UpdateProgram":
            name = v1.GetProgramRequest(name="programs/GC")
            request = v1.UpdateProgramRequest(program=stage.answer("GetProgram", name))
            resource: Any = request.program
        elif method == "UpdateLocation":
            place = v1.GetLocationRequest(name="locations/own-shop")
            request = v1.UpdateLocationRequest(location=stage.answer("GetLocation", place))
            resource = request.location
        else:
            till = v1.GetApiClientRequest(name=TILL)
            request = v1.UpdateApiClientRequest(api_client=stage.answer("GetApiClient", till))
            resource = request.api_client
        resource.display_name = f"{number}-{unique()}"
        if not with_etag:
            resource.etag = ""
        request.request_id = unique()
        requests.append(request)
    return requests


@pytest.mark.parametrize("method", ["UpdateProgram", "UpdateLocation", "UpdateApiClient"])
def test_of_updates_of_one_version_exactly_one_wins(stage: Stage, method: str) -> None:
    before = stage.rows()
    requests = _updates(stage, method, with_etag=True, count=RACERS)
    outcomes = _all_at_once(stage, method, requests)
    assert outcomes == {"OK": 1, "ETAG_MISMATCH": RACERS - 1}
    assert stage.rows()["ledger_transaction"] == before["ledger_transaction"] + 1


@pytest.mark.parametrize("method", ["UpdateProgram", "UpdateLocation", "UpdateApiClient"])
def test_updates_of_any_version_all_succeed(stage: Stage, method: str) -> None:
    for _ in range(3):
        requests = _updates(stage, method, with_etag=False, count=2)
        assert _all_at_once(stage, method, requests) == {"OK": 2}


def test_of_programs_and_locations_with_one_id_exactly_one_is_made(stage: Stage) -> None:
    won = {"OK": 1, "RESOURCE_EXISTS": RACERS - 1}
    name = unique("R")
    programs = [_program(name, str(number)) for number in range(RACERS)]
    assert _all_at_once(stage, "CreateProgram", programs) == won
    locations = [_location(name, str(number)) for number in range(RACERS)]
    assert _all_at_once(stage, "CreateLocation", locations) == won
    clients = [_client(name, str(number)) for number in range(RACERS)]
    assert _all_at_once(stage, "CreateApiClient", clients) == won


def test_the_same_request_sent_many_times_at_once_is_carried_out_once(stage: Stage) -> None:
    before = stage.rows()
    request = _program(unique("P"), "once")
    assert _all_at_once(stage, "CreateProgram", [request] * RACERS) == {"OK": RACERS}
    after = stage.rows()
    assert after["program"] == before["program"] + 1
    assert after["ledger_transaction"] == before["ledger_transaction"] + 1


def test_revoking_at_once_never_fails(stage: Stage) -> None:
    name = _issued(stage)
    requests = [v1.RevokeCredentialRequest(name=name, request_id=unique()) for _ in range(RACERS)]
    assert _all_at_once(stage, "RevokeCredential", requests) == {"OK": RACERS}
