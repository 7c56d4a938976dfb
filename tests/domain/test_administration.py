"""The rules of the set-up, one line a case."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from server.domain import access, administration
from server.domain.access import PASSWORD, TOKEN, Client, Credential, StoredSecret
from server.domain.administration import Effect, Merchant, Owner, Site
from server.domain.commands import Amount
from server.domain.errors import DomainError, InvalidField, Rejected
from server.domain.model import Program

NOW = 1_000_000_000
SECOND = 1_000_000
OWNER = Owner("m", 7)
PROGRAM = Program("p" * 32, 1, "m", "GC", "Gift", "USD", create_time=5, update_time=5)
SITE = Site("s" * 32, "1001", "Shop", "US", "UTC", "", 5, 5)
CLIENT = Client("till", "m", "Till", ("READ", "SELL"), "", administration.ENABLED, 5, 5)
TILL = frozenset({"READ", "SELL", "ADMINISTER"})
PLATFORM = frozenset({"PLATFORM"})


def usd(minor_units: int) -> Amount:
    return Amount(minor_units, "USD")


def credential(identifier: str = "a", **parts: Any) -> Credential:
    whole = Credential(identifier, "m", "till", TOKEN, "", None, None, NOW)
    return replace(whole, **parts)


def attempt(rule: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
    """What the rule answers, or the field or reason of its no."""
    try:
        return rule(*arguments, **named)
    except InvalidField as error:
        return error.field
    except DomainError as error:
        return error.reason


@pytest.mark.parametrize(
    ("terms", "field"),
    [
        ({}, None),
        ({"min_amount": usd(1), "max_amount": usd(1), "max_balance": usd(1)}, None),
        ({"min_amount": usd(2), "max_amount": usd(1)}, "program.max_amount"),
        ({"min_amount": usd(2), "max_balance": usd(1)}, "program.max_balance"),
        ({"min_amount": Amount(1, "EUR")}, "program.min_amount.currency_code"),
        ({"max_amount": Amount(1, "EUR")}, "program.max_amount.currency_code"),
        ({"max_balance": Amount(1, "EUR")}, "program.max_balance.currency_code"),
        ({"denominations": (usd(1), usd(2))}, None),
        ({"denominations": (usd(2), usd(1))}, "program.denominations"),
        ({"denominations": (usd(1), usd(1))}, "program.denominations"),
        ({"denominations": (usd(1), Amount(2, "JPY"))}, "program.denominations[1].currency_code"),
        ({"denominations": (usd(5),), "min_amount": usd(6)}, "program.denominations"),
        ({"denominations": (usd(5),), "max_amount": usd(4)}, "program.denominations"),
        ({"denominations": (usd(5),), "max_balance": usd(4)}, "program.max_balance"),
        ({"denominations": (usd(5),), "max_balance": usd(5)}, None),
        ({"value_change_allowed": False}, "program.denominations"),
        ({"value_change_allowed": False, "denominations": (usd(5),)}, None),
        ({"value_change_allowed": False, "denominations": (usd(5), usd(6))},
         "program.denominations"),
        ({"code_length": 7}, "program.code_format"),
        ({"code_length": 8}, None),
        ({"code_alphabet": "DIGITS", "code_check": "LUHN", "code_length": 12},
         "program.code_format"),
        ({"code_alphabet": "DIGITS", "code_check": "LUHN", "code_length": 17}, None),
        ({"code_check": "LUHN"}, "program.code_format"),
        ({"code_prefix": "gc"}, "program.code_format"),
    ],
)  # fmt: skip
def test_terms_fit_the_currency_and_each_other(terms: dict[str, Any], field: str | None) -> None:
    changed = attempt(administration.with_terms, PROGRAM, terms)
    if field is not None:
        assert changed == field
        return
    for name, value in terms.items():
        expected = value
        if isinstance(value, Amount):
            expected = value.minor_units
        elif name == "denominations":
            expected = tuple(amount.minor_units for amount in value)
        assert getattr(changed, name) == expected


def test_an_update_of_a_program_moves_it_to_a_new_version_first() -> None:
    effect = administration.update_program(OWNER, PROGRAM, {"display_name": "New"}, "", NOW)
    moved, version = effect.changes
    assert (moved.table, moved.values, moved.keys["version"]) == ("program", {"version": 2}, 1)
    assert (version.table, version.values["version"], version.keys) == ("program_version", 2, {})
    assert effect.facts["resource"] == {
        **_facts(administration.create_program(OWNER, PROGRAM, None)),
        "display_name": "New",
        "version": 2,
        "update_time": NOW,
    }


def _facts(effect: Effect) -> dict[str, Any]:
    resource: Any = effect.facts["resource"]
    return {**resource}


@pytest.mark.parametrize(("now", "expected"), [(4, 6), (5, 6), (6, 6), (NOW, NOW)])
def test_an_update_always_moves_the_time_and_so_the_etag(now: int, expected: int) -> None:
    for effect in (
        administration.update_location(OWNER, SITE, {"display_name": "a"}, SITE.etag, now),
        access.update_client(OWNER, CLIENT, {"display_name": "a"}, CLIENT.etag, TILL, now),
    ):
        (change,) = effect.changes
        assert change.values == {"display_name": "a", "update_time": expected}
        assert change.keys["update_time"] == 5
    site = Site(**_facts(administration.update_location(OWNER, SITE, {}, "", now)))
    assert site.etag != SITE.etag


@pytest.mark.parametrize(
    "update",
    [
        lambda etag: administration.update_location(OWNER, SITE, {}, etag, NOW),
        lambda etag: administration.update_program(OWNER, PROGRAM, {}, etag, NOW),
        lambda etag: access.update_client(OWNER, CLIENT, {}, etag, TILL, NOW),
    ],
    ids=["location", "program", "client"],
)
def test_an_old_etag_is_refused(update: Any) -> None:
    update("")
    with pytest.raises(Rejected, match="ETAG_MISMATCH"):
        update("old")


@pytest.mark.parametrize(
    ("create", "existing"),
    [
        (lambda x: administration.create_location(OWNER, SITE, x), SITE),
        (lambda x: administration.create_program(OWNER, PROGRAM, x), PROGRAM),
        (lambda x: access.create_client(OWNER, CLIENT, x, TILL), CLIENT),
        (
            lambda x: administration.create_merchant(Merchant("m", "M", "UTC", 5, 5), x),
            Merchant("m", "M", "UTC", 5, 5),
        ),
    ],
    ids=["location", "program", "client", "merchant"],
)
def test_what_exists_is_not_created_again(create: Any, existing: Any) -> None:
    assert create(None).changes
    with pytest.raises(Rejected, match="RESOURCE_EXISTS"):
        create(existing)


def test_a_home_cell_is_positive_stable_and_never_a_fact() -> None:
    cells = {administration.home_cell(f"m{number}") for number in range(1000)}
    assert len(cells) == 1000
    assert all(0 < cell < 2**63 for cell in cells)
    assert administration.home_cell("demo") == administration.home_cell("demo")
    merchant = Merchant("m", "M", "UTC", 5, 5)
    effect = administration.create_merchant(merchant, None)
    assert effect.changes[0].values["home_cell"] == administration.home_cell("m")
    for each in (effect, administration.create_location(OWNER, SITE, None)):
        assert not any("cell" in name for name in _facts(each))


@pytest.mark.parametrize(
    ("held", "wanted", "refused"),
    [
        ({"READ"}, {"READ"}, None),
        ({"READ", "SELL"}, {"SELL"}, None),
        ({"READ"}, set(), None),
        ({"READ"}, {"SELL"}, "SELL"),
        ({"READ"}, {"SELL", "ADJUST", "READ"}, "ADJUST, SELL"),
        ({"ADMINISTER"}, {"PLATFORM"}, "PLATFORM"),
        ({"PLATFORM"}, {"ADJUST", "PLATFORM"}, None),
    ],
)
def test_nobody_gives_what_they_do_not_have(
    held: set[str], wanted: set[str], refused: str | None
) -> None:
    if refused is None:
        access.require_scopes(frozenset(held), wanted)
        return
    with pytest.raises(Rejected, match="SCOPE_MISSING") as caught:
        access.require_scopes(frozenset(held), wanted)
    assert caught.value.metadata["scope"] == refused


@pytest.mark.parametrize(
    ("now", "expire_time", "revoke_time", "state"),
    [
        (NOW, None, None, access.ACTIVE),
        (NOW, NOW + 1, None, access.ACTIVE),
        (NOW, NOW, None, access.EXPIRED),
        (NOW, NOW - 1, None, access.EXPIRED),
        (NOW, None, NOW, access.REVOKED),
        (NOW, NOW - 1, NOW, access.REVOKED),
    ],
)
def test_the_state_of_a_credential_follows_the_clock(
    now: int, expire_time: int | None, revoke_time: int | None, state: int
) -> None:
    each = credential(expire_time=expire_time, revoke_time=revoke_time)
    assert each.state_at(now) == state


EXPIRED = credential("x", expire_time=NOW)
REVOKED = credential("y", revoke_time=NOW)
WORD = credential("w", kind=PASSWORD, login="till")


@pytest.mark.parametrize(
    ("siblings", "login_taken", "expire_time", "held", "expected"),
    [
        ([], False, None, TILL, "OK"),
        ([credential("b")], False, None, TILL, "OK"),
        ([credential("b"), credential("c")], False, None, TILL, "RESOURCE_EXISTS"),
        ([credential("b"), EXPIRED, REVOKED, WORD], False, None, TILL, "OK"),
        ([], True, None, TILL, "RESOURCE_EXISTS"),
        ([], False, NOW + 1, TILL, "OK"),
        ([], False, NOW, TILL, "credential.expire_time"),
        ([], False, None, frozenset({"READ", "ADMINISTER"}), "SCOPE_MISSING"),
        ([], False, None, PLATFORM, "OK"),
    ],
)
def test_when_a_credential_may_be_made(
    siblings: list[Credential],
    login_taken: bool,
    expire_time: int | None,
    held: frozenset[str],
    expected: str,
) -> None:
    effect = attempt(
        access.create_credential,
        OWNER, CLIENT, credential(expire_time=expire_time), siblings, held,
        login_taken=login_taken, now=NOW,
    )  # fmt: skip
    assert ("OK" if isinstance(effect, Effect) else effect) == expected


@pytest.mark.parametrize(
    ("old", "siblings", "overlap", "expected"),
    [
        (credential(), [], 60, {"expire_time": NOW + 60 * SECOND}),
        (credential(), [], 0, {"expire_time": NOW}),
        (credential(expire_time=NOW + SECOND), [], 60, {"expire_time": NOW + SECOND}),
        (credential(expire_time=NOW + SECOND), [], 0, {"expire_time": NOW}),
        (credential(), [credential("b")], 60, "RESOURCE_EXISTS"),
        (credential(), [credential("b")], 0, {"expire_time": NOW}),
        (WORD, [], 0, {"revoke_time": NOW}),
        (credential(expire_time=NOW), [], 60, "CREDENTIAL_NOT_FOUND"),
        (credential(revoke_time=NOW), [], 60, "CREDENTIAL_NOT_FOUND"),
    ],
)
def test_rotation_ends_the_old_one(
    old: Credential, siblings: list[Credential], overlap: int, expected: Any
) -> None:
    new = replace(old, id="new", expire_time=None, revoke_time=None)
    effect = attempt(
        access.rotate_credential,
        OWNER, CLIENT, old, new, [old, *siblings], TILL, overlap_seconds=overlap, now=NOW,
    )  # fmt: skip
    if not isinstance(effect, Effect):
        assert effect == expected
        return
    ended, made = effect.changes
    assert ended.values == expected
    assert (ended.keys["id"], ended.keys["revoke_time"]) == (old.id, None)
    assert (made.values["id"], made.keys) == ("new", {})


def test_a_secret_reaches_only_the_row_of_the_new_credential() -> None:
    effect = access.rotate_credential(
        OWNER, CLIENT, credential(), credential("new"), [], TILL, overlap_seconds=1, now=NOW
    )
    whole = access.with_secret(effect, StoredSecret(token_hash=b"digest"))
    assert "token_hash" not in whole.changes[0].values
    assert whole.changes[1].values["token_hash"] == b"digest"
    assert whole.facts == effect.facts
    assert "digest" not in repr(whole)


@pytest.mark.parametrize(("revoke_time", "writes"), [(None, 1), (NOW - 5, 0)])
def test_revoking_again_changes_nothing(revoke_time: int | None, writes: int) -> None:
    each = credential(revoke_time=revoke_time)
    effect = access.revoke_credential(OWNER, each, CLIENT, TILL, NOW)
    assert len(effect.changes) == writes
    assert _facts(effect)["revoke_time"] == (revoke_time or NOW)


def test_a_client_of_the_platform_is_only_for_the_platform() -> None:
    operator = replace(CLIENT, scopes=("PLATFORM", "READ"))
    for held, expected in ((PLATFORM, "OK"), (TILL, "SCOPE_MISSING")):
        for effect in (
            attempt(access.update_client, OWNER, operator, {"state": 2}, "", held, NOW),
            attempt(access.revoke_credential, OWNER, credential(), operator, held, NOW),
        ):
            assert ("OK" if isinstance(effect, Effect) else effect) == expected
