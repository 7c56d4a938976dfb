"""Scopes, the walls between merchants, and credentials from the first call to the last."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from giftcard import v1
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from tests.rpc.setup_stage import ENGINES, Stage, open_stage, unique

C = v1.ApiClient
K = v1.Credential
OWN, OTHER = "merchants/own", "merchants/other"
TILL, OTHER_TILL = f"{OWN}/apiClients/till", f"{OTHER}/apiClients/till"
NOBODY = "0" * 32
ADMINISTER = "ADMINISTER or PLATFORM"


@pytest.fixture(scope="module", params=ENGINES)
def stage(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stage]:
    with open_stage(request, tmp_path_factory) as stage:
        yield stage


def client(parent: str = OWN, *scopes: C.Scope.ValueType) -> v1.CreateApiClientRequest:
    return v1.CreateApiClientRequest(
        parent=parent,
        api_client_id=unique("c"),
        api_client=C(scopes=scopes or [C.READ]),
        request_id=unique(),
    )


def scoped(name: str, *scopes: C.Scope.ValueType) -> v1.UpdateApiClientRequest:
    return v1.UpdateApiClientRequest(api_client=C(name=name, scopes=scopes), request_id=unique())


def renamed(name: str) -> v1.UpdateApiClientRequest:
    return v1.UpdateApiClientRequest(
        api_client=C(name=name, display_name=unique()), request_id=unique()
    )


def token(parent: str = TILL, **parts: Any) -> v1.CreateCredentialRequest:
    return v1.CreateCredentialRequest(
        parent=parent, credential=K(kind=K.TOKEN, **parts), request_id=unique()
    )


def login(parent: str, name: str, password: str = "") -> v1.CreateCredentialRequest:
    return v1.CreateCredentialRequest(
        parent=parent,
        credential=K(kind=K.PASSWORD, login=name),
        password=password,
        request_id=unique(),
    )


def revoke(name: str) -> v1.RevokeCredentialRequest:
    return v1.RevokeCredentialRequest(name=name, request_id=unique())


def rotate(name: str, **parts: Any) -> v1.RotateCredentialRequest:
    return v1.RotateCredentialRequest(name=name, request_id=unique(), **parts)


@dataclass(frozen=True)
class Denied:
    request: Message
    token: str
    code: str
    reason: str

    @property
    def method(self) -> str:
        return type(self.request).__name__.removesuffix("Request")


def scopeless(request: Message, token: str = "reader") -> Denied:
    return Denied(request, token, "PERMISSION_DENIED", "SCOPE_MISSING")


def unseen(request: Message, reason: str, token: str = "own") -> Denied:
    return Denied(request, token, "NOT_FOUND", reason)


PROGRAM = v1.CreateProgramRequest(
    program_id="S", program=v1.Program(currency_code="USD"), request_id=unique()
)
LOCATION = v1.CreateLocationRequest(
    location_id="S",
    location=v1.Location(country_code="US", time_zone="UTC"),
    request_id=unique(),
)
MERCHANT = v1.CreateMerchantRequest(
    merchant_id="S", merchant=v1.Merchant(display_name="S", time_zone="UTC"), request_id=unique()
)
RENAME_PROGRAM = v1.UpdateProgramRequest(
    program=v1.Program(name="programs/only-other", display_name="x"), request_id=unique()
)
RENAME_LOCATION = v1.UpdateLocationRequest(
    location=v1.Location(name="locations/other-shop", display_name="x"), request_id=unique()
)

DENIED = [
    scopeless(PROGRAM),
    scopeless(RENAME_PROGRAM),
    scopeless(LOCATION),
    scopeless(RENAME_LOCATION),
    scopeless(v1.GetProgramRequest(name="programs/GC"), "nothing"),
    scopeless(v1.ListProgramsRequest(), "nothing"),
    scopeless(v1.GetLocationRequest(name="locations/own-shop"), "nothing"),
    scopeless(v1.ListLocationsRequest(), "nothing"),
    scopeless(MERCHANT, "own"),
    scopeless(v1.ListMerchantsRequest(), "own"),
    scopeless(v1.GetMerchantRequest(name=OWN)),
    scopeless(client()),
    scopeless(v1.GetApiClientRequest(name=TILL)),
    scopeless(v1.ListApiClientsRequest(parent=OWN)),
    scopeless(renamed(TILL)),
    scopeless(token()),
    scopeless(v1.ListCredentialsRequest(parent=TILL)),
    scopeless(revoke(f"{TILL}/credentials/{NOBODY}")),
    scopeless(rotate(f"{TILL}/credentials/{NOBODY}")),
    # Nobody gives a scope that they do not have.
    scopeless(client(OWN, C.READ, C.ADJUST), "own"),
    scopeless(client(OWN, C.PLATFORM), "own"),
    scopeless(client(OWN, C.READ), "administrator"),
    scopeless(scoped(TILL, C.READ, C.PLATFORM), "own"),
    scopeless(scoped(TILL, C.REDEEM), "administrator"),
    scopeless(token(TILL), "administrator"),
    Denied(PROGRAM, "unknown", "UNAUTHENTICATED", "UNAUTHENTICATED"),
    Denied(token(), "login:password", "UNAUTHENTICATED", "UNAUTHENTICATED"),
    # Another merchant's is not found, exactly as what does not exist.
    unseen(v1.GetProgramRequest(name="programs/only-other"), "PROGRAM_NOT_FOUND"),
    unseen(RENAME_PROGRAM, "PROGRAM_NOT_FOUND"),
    unseen(v1.GetLocationRequest(name="locations/other-shop"), "LOCATION_NOT_FOUND"),
    unseen(RENAME_LOCATION, "LOCATION_NOT_FOUND"),
    unseen(v1.GetMerchantRequest(name=OTHER), "MERCHANT_NOT_FOUND"),
    unseen(client(OTHER), "MERCHANT_NOT_FOUND"),
    unseen(v1.ListApiClientsRequest(parent=OTHER), "MERCHANT_NOT_FOUND"),
    unseen(v1.GetApiClientRequest(name=OTHER_TILL), "API_CLIENT_NOT_FOUND"),
    unseen(renamed(OTHER_TILL), "API_CLIENT_NOT_FOUND"),
    unseen(token(OTHER_TILL), "API_CLIENT_NOT_FOUND"),
    unseen(v1.ListCredentialsRequest(parent=OTHER_TILL), "API_CLIENT_NOT_FOUND"),
]


@pytest.mark.parametrize(
    "case", DENIED, ids=[f"{n}-{case.method}-{case.token}" for n, case in enumerate(DENIED)]
)
def test_what_a_caller_may_not_do_leaves_no_row(stage: Stage, case: Denied) -> None:
    only = v1.CreateProgramRequest(
        program_id="only-other", program=v1.Program(currency_code="USD"), request_id="only"
    )
    stage.answer("CreateProgram", only, "other")
    before = stage.rows()
    said = stage.call(case.method, case.request, case.token)
    assert (said.code, said.reason) == (case.code, case.reason)
    assert stage.rows() == before


def test_credentials_of_another_merchant_are_not_found(stage: Stage) -> None:
    theirs = stage.answer("CreateCredential", token(OTHER_TILL), "other").name
    for request in (revoke(theirs), rotate(theirs)):
        method = type(request).__name__.removesuffix("Request")
        assert stage.call(method, request, "own").reason == "CREDENTIAL_NOT_FOUND"
        # Nor does a name that joins one's own client with their credential find it.
        request.name = theirs.replace(OTHER, OWN)
        assert stage.call(method, request, "own").reason == "CREDENTIAL_NOT_FOUND"
    listed = stage.answer("ListCredentials", v1.ListCredentialsRequest(parent=TILL))
    assert theirs not in {each.name for each in listed.credentials}
    stage.answer("RevokeCredential", revoke(theirs), "other")


def test_a_page_token_serves_only_who_got_it(stage: Stage) -> None:
    for _ in range(2):
        stage.answer("CreateApiClient", client(), "own")
    request = v1.ListApiClientsRequest(parent=OWN, page_size=1)
    request.page_token = stage.answer("ListApiClients", request, "own").next_page_token
    assert stage.call("ListApiClients", request, "own").code == "OK"
    said = stage.call("ListApiClients", request, "platform")
    assert (said.code, said.reason) == ("INVALID_ARGUMENT", "PAGE_TOKEN_INVALID")


def test_the_platform_sets_up_any_merchant_and_it_belongs_to_that(stage: Stage) -> None:
    made = stage.answer("CreateApiClient", client(OWN, C.READ, C.ADJUST), "platform")
    key = stage.answer("CreateCredential", token(made.name), "platform")
    read = v1.GetLocationRequest(name="locations/own-shop")
    assert stage.answer("GetLocation", read, key.secret).country_code == "AT"
    theirs = v1.GetLocationRequest(name="locations/other-shop")
    assert stage.call("GetLocation", theirs, key.secret).reason == "LOCATION_NOT_FOUND"
    with stage.database.connect_reader() as connection:
        cells = connection.exec_driver_sql(
            "SELECT count(*) FROM credential k JOIN merchant m ON m.id = k.merchant_id"
            " JOIN api_client c ON c.id = k.client_id AND c.merchant_id = m.id"
            " WHERE k.cell <> m.home_cell OR c.cell <> m.home_cell"
        ).scalar_one()
    assert cells == 0
    # Its own administrator may rename it but not make it, or its credentials, stronger.
    assert stage.call("UpdateApiClient", renamed(made.name)).code == "OK"
    assert stage.call("UpdateApiClient", scoped(made.name, C.READ, C.ADJUST)).code == "OK"
    assert stage.call("CreateCredential", token(made.name)).reason == "SCOPE_MISSING"
    assert stage.call("RotateCredential", rotate(key.name)).reason == "SCOPE_MISSING"
    assert stage.call("RevokeCredential", revoke(key.name)).code == "OK"


def test_a_client_of_the_platform_is_out_of_a_merchants_reach(stage: Stage) -> None:
    made = stage.answer("CreateApiClient", client(OWN, C.PLATFORM), "platform")
    key = stage.answer("CreateCredential", token(made.name), "platform")
    before = stage.rows()
    for request in (renamed(made.name), scoped(made.name, C.READ), revoke(key.name)):
        method = type(request).__name__.removesuffix("Request")
        assert stage.call(method, request, "own").reason == "SCOPE_MISSING"
    assert stage.rows() == before


def test_a_client_that_is_disabled_cannot_call(stage: Stage) -> None:
    made = stage.answer("CreateApiClient", client())
    key = stage.answer("CreateCredential", token(made.name))
    read = v1.GetLocationRequest(name="locations/own-shop")
    for state, code in ((C.DISABLED, "UNAUTHENTICATED"), (C.ENABLED, "OK")):
        update = v1.UpdateApiClientRequest(
            api_client=C(name=made.name, state=state), request_id=unique()
        )
        stage.answer("UpdateApiClient", update)
        assert stage.call("GetLocation", read, key.secret).code == code


def test_tokens_work_until_they_expire_or_are_revoked(stage: Stage) -> None:
    made = stage.answer("CreateApiClient", client())
    read = v1.GetLocationRequest(name="locations/own-shop")
    soon = Timestamp(seconds=int(time.time()) + 2)
    short = stage.answer("CreateCredential", token(made.name, expire_time=soon))
    assert (short.state, short.expire_time) == (K.ACTIVE, soon)
    assert stage.call("GetLocation", read, short.secret).code == "OK"
    long = stage.answer("CreateCredential", token(made.name))
    full = stage.call("CreateCredential", token(made.name))
    assert (full.code, full.reason) == ("ALREADY_EXISTS", "RESOURCE_EXISTS")
    while time.time() < soon.seconds:
        time.sleep(0.05)
    assert stage.call("GetLocation", read, short.secret).code == "UNAUTHENTICATED"
    third = stage.answer("CreateCredential", token(made.name))
    revoked = stage.answer("RevokeCredential", revoke(long.name))
    assert revoked.state == K.REVOKED
    assert stage.call("GetLocation", read, long.secret).code == "UNAUTHENTICATED"
    again = stage.answer("RevokeCredential", revoke(long.name))
    assert (again.state, again.revoke_time) == (K.REVOKED, revoked.revoke_time)
    parent = v1.ListCredentialsRequest(parent=made.name, page_size=2)
    page = stage.answer("ListCredentials", parent)
    parent.page_token = page.next_page_token
    listed = [*page.credentials, *stage.answer("ListCredentials", parent).credentials]
    assert [(each.name, each.state) for each in listed] == [
        (third.name, K.ACTIVE), (long.name, K.REVOKED), (short.name, K.EXPIRED),
    ]  # fmt: skip
    assert not any(each.secret for each in listed)


def test_rotation_leaves_the_old_token_its_overlap(stage: Stage) -> None:
    made = stage.answer("CreateApiClient", client())
    old = stage.answer("CreateCredential", token(made.name))
    read = v1.GetLocationRequest(name="locations/own-shop")
    before = time.time()
    both = stage.answer("RotateCredential", rotate(old.name))
    assert both.previous_credential.name == old.name
    assert both.previous_credential.state == K.ACTIVE
    lasts = both.previous_credential.expire_time.seconds - before
    assert 86_390 <= lasts <= 86_410
    for secret in (old.secret, both.credential.secret):
        assert stage.call("GetLocation", read, secret).code == "OK"
    crowded = stage.call("RotateCredential", rotate(both.credential.name))
    assert (crowded.code, crowded.reason) == ("ALREADY_EXISTS", "RESOURCE_EXISTS")
    shorter = rotate(old.name, overlap=Duration(seconds=0))
    last = stage.answer("RotateCredential", shorter)
    assert last.previous_credential.state == K.EXPIRED
    assert stage.call("GetLocation", read, old.secret).code == "UNAUTHENTICATED"
    gone = stage.call("RotateCredential", rotate(old.name))
    assert (gone.code, gone.reason) == ("NOT_FOUND", "CREDENTIAL_NOT_FOUND")


def test_rotation_never_lengthens_a_life(stage: Stage) -> None:
    soon = Timestamp(seconds=int(time.time()) + 3600)
    made = stage.answer("CreateApiClient", client())
    old = stage.answer("CreateCredential", token(made.name, expire_time=soon))
    both = stage.answer("RotateCredential", rotate(old.name, overlap=Duration(seconds=7200)))
    assert both.previous_credential.expire_time == soon
    assert not both.credential.HasField("expire_time")


def test_passwords_work_and_a_login_has_one_at_a_time(stage: Stage) -> None:
    made = stage.answer("CreateApiClient", client())
    name = unique("till-")
    read = v1.GetLocationRequest(name="locations/own-shop")
    first = stage.answer("CreateCredential", login(made.name, name, "correct horse"))
    assert (first.login, first.secret) == (name, "correct horse")
    assert stage.call("GetLocation", read, f"{name}:correct horse").code == "OK"
    assert stage.call("GetLocation", read, f"{name}:wrong horse").code == "UNAUTHENTICATED"
    for parent, who in ((made.name, "own"), (OTHER_TILL, "other")):
        taken = stage.call("CreateCredential", login(parent, name, "12345678"), who)
        assert (taken.code, taken.reason) == ("ALREADY_EXISTS", "RESOURCE_EXISTS")
    both_valid = rotate(first.name, overlap=Duration(seconds=60))
    assert stage.call("RotateCredential", both_valid).field == "overlap"
    both = stage.answer("RotateCredential", rotate(first.name))
    assert both.previous_credential.state == K.REVOKED
    assert (both.credential.login, both.credential.kind) == (name, K.PASSWORD)
    made_up = both.credential.secret
    assert len(made_up) >= 24
    assert stage.call("GetLocation", read, f"{name}:correct horse").code == "UNAUTHENTICATED"
    assert stage.call("GetLocation", read, f"{name}:{made_up}").code == "OK"
    stage.answer("RevokeCredential", revoke(both.credential.name))
    free = stage.answer("CreateCredential", login(OTHER_TILL, name, "12345678"), "other")
    assert free.state == K.ACTIVE


def test_no_secret_and_no_digest_of_one_reaches_the_history(stage: Stage) -> None:
    made = stage.answer("CreateApiClient", client())
    secret = stage.answer("CreateCredential", token(made.name)).secret
    password = unique("password-")
    given = login(made.name, unique(), password)
    stage.answer("CreateCredential", given)
    stage.answer("CreateCredential", given)
    contents = stage.contents()
    assert given.credential.login in contents, "the search does not see what is there"
    assert secret not in contents
    assert password not in contents
    with stage.database.connect_reader() as connection:
        history = repr(
            connection.exec_driver_sql("SELECT command, result FROM ledger_transaction").all()
        )
    assert given.credential.login in history
    for word in ("argon2", "hash", "cell"):
        assert word not in history
