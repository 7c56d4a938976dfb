"""Good and bad input of every method of the set-up's services, one line a case."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from giftcard import v1
from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from google.type.date_pb2 import Date

from tests.rpc.setup_stage import ENGINES, Stage, dollars, open_stage, unique

C = v1.ApiClient
F = v1.Program.CodeFormat
TILL = "merchants/own/apiClients/till"
NO_CREDENTIAL = f"{TILL}/credentials/{'0' * 32}"
CROCKFORD = v1.Program.CROCKFORD
UNKNOWN: Any = 99
INVALID, FAILED, MISSING = "INVALID_ARGUMENT", "INVALID_FIELD", "NOT_FOUND"


@pytest.fixture(scope="module", params=ENGINES)
def stage(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stage]:
    with open_stage(request, tmp_path_factory) as stage:
        yield stage


def euros(amount: int) -> v1.Money:
    return v1.Money(minor_units=amount * 100, currency_code="EUR")


def program(program_id: str | None = None, /, **parts: Any) -> v1.CreateProgramRequest:
    return v1.CreateProgramRequest(
        program_id=unique("P") if program_id is None else program_id,
        program=v1.Program(**{"currency_code": "USD", **parts}),
        request_id=unique(),
    )


def new_program(mask: str = "", /, **parts: Any) -> v1.UpdateProgramRequest:
    return v1.UpdateProgramRequest(
        program=v1.Program(**{"name": "programs/GC", **parts}),
        update_mask=FieldMask(paths=mask.split()),
        request_id=unique(),
    )


def location(location_id: str | None = None, /, **parts: Any) -> v1.CreateLocationRequest:
    return v1.CreateLocationRequest(
        location_id=unique("L") if location_id is None else location_id,
        location=v1.Location(**{"country_code": "US", "time_zone": "America/Chicago", **parts}),
        request_id=unique(),
    )


def new_location(mask: str = "", /, **parts: Any) -> v1.UpdateLocationRequest:
    return v1.UpdateLocationRequest(
        location=v1.Location(**{"name": "locations/own-shop", **parts}),
        update_mask=FieldMask(paths=mask.split()),
        request_id=unique(),
    )


def merchant(merchant_id: str | None = None, /, **parts: Any) -> v1.CreateMerchantRequest:
    return v1.CreateMerchantRequest(
        merchant_id=unique("M") if merchant_id is None else merchant_id,
        merchant=v1.Merchant(**{"display_name": "Shop", "time_zone": "UTC", **parts}),
        request_id=unique(),
    )


def client(
    client_id: str | None = None, /, parent: str = "merchants/own", **parts: Any
) -> v1.CreateApiClientRequest:
    return v1.CreateApiClientRequest(
        parent=parent,
        api_client_id=unique("c") if client_id is None else client_id,
        api_client=C(**{"scopes": [C.READ], **parts}),
        request_id=unique(),
    )


def new_client(mask: str = "", /, **parts: Any) -> v1.UpdateApiClientRequest:
    return v1.UpdateApiClientRequest(
        api_client=C(**{"name": TILL, **parts}),
        update_mask=FieldMask(paths=mask.split()),
        request_id=unique(),
    )


def token(parent: str = TILL, /, password: str = "", **parts: Any) -> v1.CreateCredentialRequest:
    return v1.CreateCredentialRequest(
        parent=parent,
        credential=v1.Credential(**{"kind": v1.Credential.TOKEN, **parts}),
        password=password,
        request_id=unique(),
    )


def login(name: str, password: str = "long enough", **parts: Any) -> v1.CreateCredentialRequest:
    return token(password=password, kind=v1.Credential.PASSWORD, login=name, **parts)


def rotate(name: str, **parts: Any) -> v1.RotateCredentialRequest:
    return v1.RotateCredentialRequest(name=name, request_id=unique(), **parts)


def revoke(name: str) -> v1.RevokeCredentialRequest:
    return v1.RevokeCredentialRequest(name=name, request_id=unique())


@dataclass(frozen=True)
class Bad:
    """A request that is not carried out, what it is answered, and which field is to blame."""

    request: Message
    code: str
    reason: str
    field: str = ""
    token: str = "own"

    @property
    def method(self) -> str:
        return type(self.request).__name__.removesuffix("Request")


def invalid(request: Message, field: str, token: str = "own") -> Bad:
    return Bad(request, INVALID, FAILED, field, token)


def masked(request: Any, *paths: str) -> Any:
    request.update_mask.paths[:] = paths
    return request


def without(request: Any, field: str) -> Any:
    request.ClearField(field)
    return request


def within(request: Any, **context: Any) -> Any:
    request.context.MergeFrom(v1.CallContext(**context))
    return request


FIXED = {"value_change_allowed": False, "denominations": [dollars(25)]}
Validity = v1.Program.Validity

BAD_PROGRAMS = [
    invalid(program(""), "program_id"),
    invalid(program("a/b"), "program_id"),
    invalid(program("-a"), "program_id"),
    invalid(program("a" * 64), "program_id"),
    invalid(without(program(), "program"), "program"),
    invalid(without(program(), "request_id"), "request_id"),
    invalid(within(program(), operator="a\nb"), "context.operator"),
    invalid(program(currency_code=""), "program.currency_code"),
    invalid(program(currency_code="usd"), "program.currency_code"),
    invalid(program(currency_code="XAU"), "program.currency_code"),
    invalid(program(currency_code="POINTS"), "program.currency_code"),
    invalid(program(display_name="a" * 129), "program.display_name"),
    invalid(program(display_name="a\x00"), "program.display_name"),
    invalid(program(state=3), "program.state"),
    invalid(program(min_amount=dollars(0)), "program.min_amount.minor_units"),
    invalid(program(min_amount=dollars(-1)), "program.min_amount.minor_units"),
    invalid(program(min_amount=euros(1)), "program.min_amount.currency_code"),
    invalid(program(max_amount=dollars(10**11)), "program.max_amount.minor_units"),
    invalid(program(max_amount=v1.Money(minor_units=1)), "program.max_amount.currency_code"),
    invalid(program(min_amount=dollars(2), max_amount=dollars(1)), "program.max_amount"),
    invalid(program(max_balance=euros(1)), "program.max_balance.currency_code"),
    invalid(program(min_amount=dollars(2), max_balance=dollars(1)), "program.max_balance"),
    invalid(program(denominations=[dollars(2)], max_balance=dollars(1)), "program.max_balance"),
    invalid(program(denominations=[dollars(2), dollars(1)]), "program.denominations"),
    invalid(program(denominations=[dollars(2), dollars(2)]), "program.denominations"),
    invalid(program(denominations=[dollars(n) for n in range(1, 102)]), "program.denominations"),
    invalid(program(denominations=[dollars(5)], max_amount=dollars(4)), "program.denominations"),
    invalid(program(denominations=[dollars(5)], min_amount=dollars(6)), "program.denominations"),
    invalid(
        program(denominations=[dollars(1), euros(2)]), "program.denominations[1].currency_code"
    ),
    invalid(program(denominations=[dollars(0)]), "program.denominations[0].minor_units"),
    invalid(program(value_change_allowed=False), "program.denominations"),
    invalid(
        program(value_change_allowed=False, denominations=[dollars(1), dollars(2)]),
        "program.denominations",
    ),
    invalid(program(validity=Validity()), "program.validity"),
    invalid(program(validity=Validity(months=0)), "program.validity.months"),
    invalid(program(validity=Validity(months=1201)), "program.validity.months"),
    invalid(program(validity=Validity(days=-1)), "program.validity.days"),
    invalid(program(validity=Validity(days=36501)), "program.validity.days"),
    invalid(program(validity=Validity(until=Date(year=2030))), "program.validity.until"),
    invalid(
        program(validity=Validity(until=Date(year=2030, month=2, day=30))),
        "program.validity.until",
    ),
    invalid(program(hold_lifetime=Duration(seconds=0)), "program.hold_lifetime"),
    invalid(program(hold_lifetime=Duration(seconds=366 * 86400 + 1)), "program.hold_lifetime"),
    invalid(program(hold_lifetime=Duration(seconds=1, nanos=1)), "program.hold_lifetime"),
    invalid(program(code_format=F(prefix="a")), "program.code_format"),
    invalid(program(code_format=F(prefix="A" * 17)), "program.code_format"),
    invalid(program(code_format=F(random_length=7)), "program.code_format"),
    invalid(program(code_format=F(random_length=-1)), "program.code_format"),
    invalid(program(code_format=F(random_length=40)), "program.code_format"),
    invalid(program(code_format=F(alphabet=F.DIGITS, random_length=12)), "program.code_format"),
    invalid(program(code_format=F(check_digit=v1.Program.LUHN)), "program.code_format"),
    invalid(
        program(code_format=F(alphabet=F.ALPHANUMERIC, check_digit=CROCKFORD)),
        "program.code_format",
    ),
    invalid(program(code_format=F(alphabet=UNKNOWN)), "program.code_format.alphabet"),
    invalid(program(code_format=F(check_digit=UNKNOWN)), "program.code_format.check_digit"),
    Bad(program("GC"), "ALREADY_EXISTS", "RESOURCE_EXISTS"),
    Bad(within(program(), location="locations/none"), MISSING, "LOCATION_NOT_FOUND"),
    Bad(v1.GetProgramRequest(name="programs/none"), MISSING, "PROGRAM_NOT_FOUND"),
    invalid(v1.GetProgramRequest(name="GC"), "name"),
    invalid(v1.GetProgramRequest(name="programs/"), "name"),
    invalid(v1.ListProgramsRequest(page_size=-1), "page_size"),
    invalid(v1.ListProgramsRequest(state=UNKNOWN), "state"),
    Bad(v1.ListProgramsRequest(page_token="x"), INVALID, "PAGE_TOKEN_INVALID"),
    invalid(without(new_program(), "program"), "program"),
    invalid(without(new_program(display_name="a"), "request_id"), "request_id"),
    invalid(new_program(name="GC", display_name="a"), "program.name"),
    invalid(new_program(), "update_mask"),
    invalid(new_program("name", display_name="a"), "update_mask"),
    invalid(new_program("currency_code", currency_code="USD"), "update_mask"),
    invalid(new_program("version", version=7), "update_mask"),
    invalid(new_program("validity.months", validity=Validity(months=1)), "update_mask"),
    invalid(new_program("display_name *", display_name="a"), "update_mask"),
    invalid(new_program(currency_code="EUR", display_name="a"), "program.currency_code"),
    invalid(new_program(min_amount=euros(1)), "program.min_amount.currency_code"),
    invalid(new_program(max_balance=v1.Money(minor_units=1, currency_code="USD")),
            "program.max_balance"),
    invalid(new_program("value_change_allowed", value_change_allowed=False),
            "program.denominations"),
    Bad(new_program(name="programs/none", display_name="a"), MISSING, "PROGRAM_NOT_FOUND"),
    Bad(new_program(display_name="a", etag="old"), "ABORTED", "ETAG_MISMATCH"),
]  # fmt: skip

BAD_LOCATIONS = [
    invalid(location(""), "location_id"),
    invalid(location("a b"), "location_id"),
    invalid(without(location(), "location"), "location"),
    invalid(without(location(), "request_id"), "request_id"),
    invalid(location(display_name="a" * 129), "location.display_name"),
    invalid(location(country_code=""), "location.country_code"),
    invalid(location(country_code="us"), "location.country_code"),
    invalid(location(country_code="USA"), "location.country_code"),
    invalid(location(time_zone=""), "location.time_zone"),
    invalid(location(time_zone="Mars/Olympus"), "location.time_zone"),
    invalid(location(time_zone="localtime"), "location.time_zone"),
    invalid(location(legal_entity="a" * 129), "location.legal_entity"),
    Bad(location("own-shop"), "ALREADY_EXISTS", "RESOURCE_EXISTS"),
    invalid(v1.GetLocationRequest(name="own-shop"), "name"),
    Bad(v1.GetLocationRequest(name="locations/none"), MISSING, "LOCATION_NOT_FOUND"),
    invalid(v1.ListLocationsRequest(page_size=-1), "page_size"),
    Bad(v1.ListLocationsRequest(page_token="x"), INVALID, "PAGE_TOKEN_INVALID"),
    invalid(without(new_location(), "location"), "location"),
    invalid(new_location(), "update_mask"),
    invalid(new_location("name"), "update_mask"),
    invalid(new_location("create_time"), "update_mask"),
    invalid(new_location("country_code"), "location.country_code"),
    invalid(new_location("*", display_name="a"), "location.country_code"),
    invalid(new_location(name="shops/own-shop", display_name="a"), "location.name"),
    Bad(new_location(name="locations/none", display_name="a"), MISSING, "LOCATION_NOT_FOUND"),
    Bad(new_location(display_name="a", etag="old"), "ABORTED", "ETAG_MISMATCH"),
]

BAD_ADMINISTRATION = [
    invalid(merchant(""), "merchant_id", "platform"),
    invalid(merchant("merchants/a"), "merchant_id", "platform"),
    invalid(without(merchant(), "merchant"), "merchant", "platform"),
    invalid(without(merchant(), "request_id"), "request_id", "platform"),
    invalid(merchant(display_name=""), "merchant.display_name", "platform"),
    invalid(merchant(display_name=" "), "merchant.display_name", "platform"),
    invalid(merchant(time_zone="Vienna"), "merchant.time_zone", "platform"),
    Bad(merchant("own"), "ALREADY_EXISTS", "RESOURCE_EXISTS", token="platform"),
    invalid(v1.GetMerchantRequest(name="own"), "name"),
    Bad(v1.GetMerchantRequest(name="merchants/none"), MISSING, "MERCHANT_NOT_FOUND", "",
        "platform"),
    invalid(v1.ListMerchantsRequest(page_size=-1), "page_size", "platform"),
    Bad(v1.ListMerchantsRequest(page_token="x"), INVALID, "PAGE_TOKEN_INVALID", "", "platform"),
    invalid(client(""), "api_client_id"),
    invalid(client(parent="own"), "parent"),
    invalid(client(parent="merchants/own/"), "parent"),
    invalid(without(client(), "api_client"), "api_client"),
    invalid(without(client(), "request_id"), "request_id"),
    invalid(client(scopes=[]), "api_client.scopes"),
    invalid(client(scopes=[0]), "api_client.scopes"),
    invalid(client(scopes=[99]), "api_client.scopes"),
    invalid(client(scopes=[C.READ, C.READ]), "api_client.scopes"),
    invalid(client(location="own-shop"), "api_client.location"),
    invalid(client(state=3), "api_client.state"),
    invalid(client(display_name="a" * 129), "api_client.display_name"),
    Bad(client(location="locations/none"), MISSING, "LOCATION_NOT_FOUND"),
    Bad(client(location="locations/other-shop"), MISSING, "LOCATION_NOT_FOUND"),
    Bad(client("till"), "ALREADY_EXISTS", "RESOURCE_EXISTS"),
    Bad(client(parent="merchants/none"), MISSING, "MERCHANT_NOT_FOUND", token="platform"),
    invalid(v1.GetApiClientRequest(name="merchants/own"), "name"),
    Bad(v1.GetApiClientRequest(name="merchants/own/apiClients/none"), MISSING,
        "API_CLIENT_NOT_FOUND"),
    invalid(v1.ListApiClientsRequest(parent="merchants"), "parent"),
    invalid(v1.ListApiClientsRequest(parent="merchants/own", page_size=-1), "page_size"),
    Bad(v1.ListApiClientsRequest(parent="merchants/own", page_token="x"), INVALID,
        "PAGE_TOKEN_INVALID"),
    Bad(v1.ListApiClientsRequest(parent="merchants/none"), MISSING, "MERCHANT_NOT_FOUND", "",
        "platform"),
    invalid(without(new_client(), "api_client"), "api_client"),
    invalid(new_client(), "update_mask"),
    invalid(new_client("name"), "update_mask"),
    invalid(new_client("scopes"), "api_client.scopes"),
    invalid(new_client(name="merchants/own", state=C.DISABLED), "api_client.name"),
    invalid(new_client(state=3), "api_client.state"),
    Bad(new_client(location="locations/none"), MISSING, "LOCATION_NOT_FOUND"),
    Bad(new_client(name=f"{TILL}2", display_name="a"), MISSING, "API_CLIENT_NOT_FOUND"),
    Bad(new_client(display_name="a", etag="old"), "ABORTED", "ETAG_MISMATCH"),
]  # fmt: skip

BAD_CREDENTIALS = [
    invalid(without(token(), "credential"), "credential"),
    invalid(without(token(), "request_id"), "request_id"),
    invalid(token("merchants/own"), "parent"),
    invalid(token(kind=0), "credential.kind"),
    invalid(token(kind=3), "credential.kind"),
    invalid(token(login="a"), "credential.login"),
    invalid(token(password="long enough"), "password"),
    invalid(token(expire_time=Timestamp(seconds=1)), "credential.expire_time"),
    invalid(token(expire_time=Timestamp(seconds=-1)), "credential.expire_time"),
    invalid(login(""), "credential.login"),
    invalid(login("a:b"), "credential.login"),
    invalid(login("a b"), "credential.login"),
    invalid(login("ä"), "credential.login"),
    invalid(login("a" * 129), "credential.login"),
    invalid(login("a", "1234567"), "password"),
    invalid(login("a", "1" * 129), "password"),
    invalid(login("a", "ä" * 128), "password"),
    invalid(login("a", "12345678\n"), "password"),
    Bad(token("merchants/own/apiClients/none"), MISSING, "API_CLIENT_NOT_FOUND"),
    invalid(v1.ListCredentialsRequest(parent="merchants/own"), "parent"),
    invalid(v1.ListCredentialsRequest(parent=TILL, page_size=-1), "page_size"),
    Bad(v1.ListCredentialsRequest(parent=TILL, page_token="x"), INVALID, "PAGE_TOKEN_INVALID"),
    Bad(v1.ListCredentialsRequest(parent=f"{TILL}2"), MISSING, "API_CLIENT_NOT_FOUND"),
    invalid(revoke(TILL), "name"),
    invalid(without(revoke(NO_CREDENTIAL), "request_id"), "request_id"),
    Bad(revoke(NO_CREDENTIAL), MISSING, "CREDENTIAL_NOT_FOUND"),
    Bad(revoke(NO_CREDENTIAL.replace("till", "none")), MISSING, "CREDENTIAL_NOT_FOUND"),
    invalid(rotate(TILL), "name"),
    invalid(rotate(NO_CREDENTIAL, overlap=Duration(seconds=-1)), "overlap"),
    invalid(rotate(NO_CREDENTIAL, overlap=Duration(nanos=1)), "overlap"),
    invalid(rotate(NO_CREDENTIAL, overlap=Duration(seconds=90 * 86400 + 1)), "overlap"),
    Bad(rotate(NO_CREDENTIAL), MISSING, "CREDENTIAL_NOT_FOUND"),
]

ALL_BAD = BAD_PROGRAMS + BAD_LOCATIONS + BAD_ADMINISTRATION + BAD_CREDENTIALS


@pytest.mark.parametrize(
    "case", ALL_BAD, ids=[f"{n}-{case.method}-{case.field}" for n, case in enumerate(ALL_BAD)]
)
def test_bad_requests_say_why_and_leave_no_row(stage: Stage, case: Bad) -> None:
    before = stage.rows()
    said = stage.call(case.method, case.request, case.token)
    assert (said.code, said.reason, said.field) == (case.code, case.reason, case.field)
    assert stage.rows() == before


#: A program's fields as sent, and as answered where they differ.
GOOD_PROGRAMS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({}, {"state": v1.Program.ACTIVE, "version": 1, "hold_lifetime": Duration(seconds=604800)}),
    ({}, {"reload_allowed": True, "return_allowed": False, "partial_redeem_allowed": True}),
    ({}, {"value_change_allowed": True, "holds_allowed": True, "pin_required": False}),
    ({}, {"code_format": F(alphabet=F.CROCKFORD, random_length=15, check_digit=CROCKFORD)}),
    ({"display_name": "Gift ✓"}, {}),
    ({"state": v1.Program.RETIRED}, {}),
    ({"min_amount": dollars(1), "max_amount": dollars(500), "max_balance": dollars(1000)}, {}),
    ({"min_amount": dollars(1), "max_amount": dollars(1)}, {}),
    ({"denominations": [dollars(10), dollars(25), dollars(50)]}, {}),
    ({**FIXED, "reload_allowed": False}, {}),
    ({"reload_allowed": False, "return_allowed": True, "partial_redeem_allowed": False}, {}),
    ({"holds_allowed": False, "pin_required": True}, {}),
    ({"validity": Validity(months=1200)}, {}),
    ({"validity": Validity(days=36500)}, {}),
    ({"validity": Validity(until=Date(year=2030, month=12, day=31))}, {}),
    ({"hold_lifetime": Duration(seconds=1)}, {}),
    ({"hold_lifetime": Duration(seconds=366 * 86400)}, {}),
    (
        {"code_format": F(prefix="99", alphabet=F.DIGITS, random_length=17)},
        {"code_format": F(prefix="99", alphabet=F.DIGITS, random_length=17, check_digit=CROCKFORD)},
    ),
    (
        {"code_format": F(alphabet=F.ALPHANUMERIC)},
        {"code_format": F(alphabet=F.ALPHANUMERIC, random_length=15, check_digit=v1.Program.NONE)},
    ),
    ({"currency_code": "JPY", "min_amount": v1.Money(minor_units=1, currency_code="JPY")}, {}),
]


@pytest.mark.parametrize(("sent", "answered"), GOOD_PROGRAMS, ids=range(len(GOOD_PROGRAMS)))
def test_good_programs_are_answered_and_read_as_sent(
    stage: Stage, sent: dict[str, Any], answered: dict[str, Any]
) -> None:
    request = program(**sent)
    message = stage.answer("CreateProgram", request)
    assert message.name == f"programs/{request.program_id}"
    for name, value in {**sent, **answered}.items():
        found = getattr(message, name)
        assert (list(found) if isinstance(value, list) else found) == value, name
    assert stage.answer("GetProgram", v1.GetProgramRequest(name=message.name)) == message


@dataclass(frozen=True)
class Edit:
    """A program's fields before, an update, and the fields after that the update changed."""

    before: dict[str, Any]
    mask: str
    sent: dict[str, Any]
    after: dict[str, Any]


EDITS = [
    Edit({}, "", {"display_name": "New"}, {"display_name": "New"}),
    Edit({}, "", {"display_name": "New", "currency_code": "USD"}, {"display_name": "New"}),
    Edit({"display_name": "Old"}, "display_name", {}, {"display_name": ""}),
    Edit({"display_name": "Old"}, "pin_required", {"display_name": "New", "pin_required": True},
         {"pin_required": True}),
    Edit({"min_amount": dollars(1)}, "min_amount", {}, {"min_amount": v1.Money()}),
    Edit({"return_allowed": True}, "return_allowed", {}, {"return_allowed": False}),
    Edit({"validity": Validity(months=3)}, "validity", {"validity": Validity(days=3)},
         {"validity": Validity(days=3)}),
    Edit({"validity": Validity(months=3)}, "validity", {}, {"validity": Validity()}),
    Edit({"denominations": [dollars(1)]}, "denominations", {}, {"denominations": []}),
    Edit({}, "", {"state": v1.Program.RETIRED}, {"state": v1.Program.RETIRED}),
    Edit({"state": v1.Program.RETIRED}, "state", {"state": v1.Program.ACTIVE},
         {"state": v1.Program.ACTIVE}),
    Edit({"state": v1.Program.RETIRED}, "state", {}, {"state": v1.Program.RETIRED}),
    Edit({"display_name": "Old", "reload_allowed": False}, "*", {"display_name": "New"},
         {"display_name": "New", "reload_allowed": True}),
    Edit({}, "value_change_allowed denominations", FIXED, FIXED),
]  # fmt: skip


@pytest.mark.parametrize("edit", EDITS, ids=range(len(EDITS)))
def test_updates_of_programs_change_what_the_mask_names(stage: Stage, edit: Edit) -> None:
    first = stage.answer("CreateProgram", program(**edit.before))
    second = stage.answer(
        "UpdateProgram", new_program(edit.mask, name=first.name, etag=first.etag, **edit.sent)
    )
    changed = {**edit.after, "version": 2, "etag": second.etag, "update_time": second.update_time}
    expected = v1.Program()
    expected.CopyFrom(first)
    for name, value in changed.items():
        expected.ClearField(name)  # type: ignore[arg-type]
        if value not in (v1.Money(), Validity()):
            expected.MergeFrom(v1.Program(**{name: value}))
    if edit.after.get("display_name") == "New" and "*" in edit.mask:
        assert second.reload_allowed
    assert second == expected
    assert second.etag != first.etag
    assert stage.answer("GetProgram", v1.GetProgramRequest(name=first.name)) == second


def test_an_old_version_of_a_program_stays_as_it_was(stage: Stage) -> None:
    first = stage.answer("CreateProgram", program(display_name="First"))
    stage.answer("UpdateProgram", new_program(name=first.name, display_name="Second"))
    code = first.name.removeprefix("programs/")
    with stage.database.connect_reader() as connection:
        bodies = connection.exec_driver_sql(
            "SELECT v.body FROM program_version v JOIN program p ON p.id = v.program_id"
            f" WHERE p.code = '{code}' ORDER BY v.version"
        ).scalars()
        names = ["First" if '"First"' in body else "Second" for body in bodies]
    assert names == ["First", "Second"]


def test_locations_are_created_read_and_updated(stage: Stage) -> None:
    first = stage.answer(
        "CreateLocation", location("4711", display_name="Shop", legal_entity="Shop Inc")
    )
    assert (first.name, first.country_code, first.time_zone, first.legal_entity) == (
        "locations/4711", "US", "America/Chicago", "Shop Inc",
    )  # fmt: skip
    read = v1.GetLocationRequest(name="locations/4711")
    assert stage.answer("GetLocation", read) == first
    second = stage.answer(
        "UpdateLocation",
        new_location(
            "time_zone legal_entity", name=first.name, time_zone="UTC", display_name="ignored",
            etag=first.etag,
        ),
    )  # fmt: skip
    assert (second.display_name, second.time_zone, second.legal_entity) == ("Shop", "UTC", "")
    assert (second.create_time, second.country_code) == (first.create_time, "US")
    assert second.etag != first.etag
    assert stage.answer("GetLocation", read) == second
    said = stage.call("UpdateLocation", new_location(name=first.name, etag=first.etag,
                                                     display_name="late"))  # fmt: skip
    assert (said.code, said.reason) == ("ABORTED", "ETAG_MISMATCH")


def test_merchants_and_clients_are_created_read_and_updated(stage: Stage) -> None:
    made = stage.answer("CreateMerchant", merchant("fresh"), "platform")
    assert (made.name, made.display_name, made.time_zone) == ("merchants/fresh", "Shop", "UTC")
    read = v1.GetMerchantRequest(name=made.name)
    assert stage.answer("GetMerchant", read, "platform") == made
    first = stage.answer(
        "CreateApiClient",
        client("back.office", made.name, scopes=[C.PLATFORM, C.READ], display_name="Office"),
        "platform",
    )
    assert first.name == "merchants/fresh/apiClients/back.office"
    assert list(first.scopes) == [C.READ, C.PLATFORM]
    assert first.state == C.ENABLED
    second = stage.answer(
        "UpdateApiClient",
        new_client("scopes state", name=first.name, scopes=[C.REDEEM], state=C.DISABLED),
        "platform",
    )
    assert (list(second.scopes), second.state) == ([C.REDEEM], C.DISABLED)
    assert second.display_name == "Office"
    read_client = v1.GetApiClientRequest(name=first.name)
    assert stage.answer("GetApiClient", read_client, "platform") == second


def test_lists_go_page_by_page_in_order(stage: Stage) -> None:
    made = {
        "programs": [stage.answer("CreateProgram", program()).name for _ in range(5)],
        "locations": [stage.answer("CreateLocation", location()).name for _ in range(5)],
        "api_clients": [stage.answer("CreateApiClient", client()).name for _ in range(5)],
    }
    lists: list[tuple[Any, str, str]] = [
        (v1.ListProgramsRequest(), "programs", "own"),
        (v1.ListProgramsRequest(state=v1.Program.ACTIVE), "programs", "own"),
        (v1.ListLocationsRequest(), "locations", "own"),
        (v1.ListApiClientsRequest(parent="merchants/own"), "api_clients", "own"),
        (v1.ListMerchantsRequest(), "merchants", "platform"),
    ]
    for request, collection, who in lists:
        found: list[str] = []
        while True:
            request.page_size = 2
            answer = stage.answer(type(request).__name__.removesuffix("Request"), request, who)
            page = [each.name for each in getattr(answer, collection)]
            assert 0 < len(page) <= 2
            found += page
            request.page_token = answer.next_page_token
            if not answer.next_page_token:
                break
        assert found == sorted(set(found))
        assert set(made.get(collection, ["merchants/own", "merchants/other"])) <= set(found)


def test_retired_programs_are_listed_only_where_asked_for(stage: Stage) -> None:
    name = stage.answer("CreateProgram", program(state=v1.Program.RETIRED)).name
    for state, there in (
        (v1.Program.STATE_UNSPECIFIED, True),
        (v1.Program.ACTIVE, False),
        (v1.Program.RETIRED, True),
    ):
        request = v1.ListProgramsRequest(state=state, page_size=1000)
        listed = stage.answer("ListPrograms", request).programs
        assert (name in {each.name for each in listed}) == there
