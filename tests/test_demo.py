"""The demo merchant: a real history, in order, that cannot be had twice or by strangers."""

import base64
import dataclasses
from collections.abc import AsyncIterator, Iterator
from datetime import date
from pathlib import Path
from typing import Any

import grpc
import pytest
from giftcard import v1
from google.type import date_pb2

from server import app, demo
from server.domain.calendar import local_date
from server.local import local_server
from server.secrets import SecretKeys
from server.settings import Settings, SettingsError
from server.storage import queries
from server.storage.database import Database, commit
from server.verify import verify

#: Code, program, state, balance, day of issue, last day, where.
CARDS = [
    ("12399", "GC", "ACTIVE", 25_00, "2021-02-20", "", "1001"),
    ("1234567", "GC", "INACTIVE", 0, "", "", "1001"),
    ("12300", "GC", "ACTIVE", 10_00, "2021-02-20", "", "1001"),
    ("WEB-9198262557214413", "GC", "ACTIVE", 100_00, "2020-02-25", "", "99"),
    ("GCQ22X9HE1", "GC", "ACTIVE", 100_00, "2019-03-04", "2022-03-04", "Website"),
    ("DYN0000001", "DYN", "ACTIVE", 50_00, "2021-02-20", "", "SHOP1"),
]

CREDENTIALS = [
    ("Bearer demo-service-token", "service"),
    ("Bearer demo-cp-token", "cp"),
    ("Bearer demo-resico-token", "resico"),
    ("Basic demo:demo", "iwarehouse"),
    ("Basic demo-pos:demo-pos", "retail7"),
]

#: Settings, and whether the demo is refused there.
EXPOSED: list[tuple[dict[str, Any], bool]] = [
    ({"grpc_address": "0.0.0.0:50051", "allow_plaintext": True}, True),
    ({"grpc_address": "127.0.0.1:0", "profile": "production"}, True),
    ({"grpc_address": "127.0.0.1:0"}, False),
    ({"grpc_address": "unix:/tmp/socket"}, False),
]


@pytest.fixture
def settings(database_url: str, tmp_path: Path) -> Settings:
    return Settings(database_url=database_url, key_file=str(tmp_path / "keys.json"))


@pytest.fixture
def keys(settings: Settings) -> SecretKeys:
    return app.keys_of(settings)


@pytest.fixture
def database(settings: Settings) -> Iterator[Database]:
    opened = app.open_database(settings)
    yield opened
    opened.close()


@pytest.fixture
def loaded(database: Database, keys: SecretKeys) -> Database:
    assert demo.load(database, keys)
    return database


@pytest.fixture
async def channel(loaded: Database, settings: Settings) -> AsyncIterator[grpc.aio.Channel]:
    """A channel to a server over the loaded database."""
    loaded.close()
    async with (
        local_server(settings, demo.MERCHANT_ID) as access,
        grpc.aio.insecure_channel(access.address) as opened,
    ):
        yield opened


def _metadata(credential: str) -> tuple[tuple[str, str]]:
    scheme, _, secret = credential.partition(" ")
    if scheme == "Basic":
        secret = base64.b64encode(secret.encode()).decode()
    return (("authorization", f"{scheme} {secret}"),)


def _iso(day: date_pb2.Date) -> str:
    return date(day.year, day.month, day.day).isoformat() if day.year else ""


async def test_every_card_reads_as_documented(channel: grpc.aio.Channel) -> None:
    assert [await _read(channel, row[0]) for row in CARDS] == CARDS


async def _read(channel: grpc.aio.Channel, code: str) -> tuple[str, str, str, int, str, str, str]:
    """A card as a row of the table above, from what the server says of it."""
    stub = v1.GiftCardServiceStub(channel)
    metadata = _metadata("Bearer demo-service-token")
    request = v1.LookupGiftCardRequest(gift_card=v1.GiftCardReference(code=code))
    card = (await stub.LookupGiftCard(request, metadata=metadata)).gift_card
    listing = v1.ListTransactionsRequest(gift_card=card.name)
    (first,) = (await stub.ListTransactions(listing, metadata=metadata)).transactions
    moment = card.issue_time.ToMicroseconds()
    return (
        code,
        card.program.removeprefix("programs/"),
        v1.GiftCard.State.Name(card.state),
        card.balance.minor_units,
        local_date(moment, demo.TIME_ZONE).isoformat() if moment else "",
        _iso(card.valid_until),
        first.context.location.removeprefix("locations/"),
    )


async def test_the_customer_pays_for_a_reserved_card(channel: grpc.aio.Channel) -> None:
    metadata = _metadata("Bearer demo-cp-token")
    named = v1.GetCustomerRequest(name="customers/2059378440")
    customers = v1.CustomerServiceStub(channel)
    assert (await customers.GetCustomer(named, metadata=metadata)).available_points == 10_000
    request = v1.IssueGiftCardRequest(
        program="programs/GC", amount=v1.Money(minor_units=50_00, currency_code="USD"),
        code="99-53235753896117470", require_reserved_code=True, customer=named.name,
        points_to_redeem=5_000, request_id="1",
    )  # fmt: skip
    answer = await v1.GiftCardServiceStub(channel).IssueGiftCard(request, metadata=metadata)
    assert answer.gift_card.code == "99-53235753896117470"
    assert answer.customer.available_points == 5_000


async def test_every_documented_credential_works(channel: grpc.aio.Channel) -> None:
    stub = v1.GiftCardServiceStub(channel)
    request = v1.RedeemGiftCardRequest(
        gift_card=v1.GiftCardReference(code="DYN0000001"),
        amount=v1.Money(minor_units=100, currency_code="USD"),
        request_id="1",
    )
    clients = []
    for credential, _ in CREDENTIALS:
        answer = await stub.RedeemGiftCard(request, metadata=_metadata(credential))
        clients.append((credential, answer.transaction.api_client.rpartition("/")[2]))
    assert clients == CREDENTIALS


async def test_the_customer_has_points_that_buy_a_card(channel: grpc.aio.Channel) -> None:
    """As in the CP examples: 5000 points for 50 dollars."""
    metadata = _metadata("Bearer demo-cp-token")
    customers, cards = v1.CustomerServiceStub(channel), v1.GiftCardServiceStub(channel)
    request = v1.GetCustomerRequest(name="customers/2059378440")
    assert (await customers.GetCustomer(request, metadata=metadata)).available_points == 10_000
    bought = await cards.IssueGiftCard(
        v1.IssueGiftCardRequest(
            program="programs/GC", amount=v1.Money(minor_units=5000, currency_code="USD"),
            customer="customers/2059378440", points_to_redeem=5000, request_id="1",
        ),
        metadata=metadata,
    )  # fmt: skip
    assert bought.gift_card.available.minor_units == 5000
    assert bought.customer.available_points == 5_000


def test_the_books_are_in_order(loaded: Database) -> None:
    report = verify(loaded)
    assert report.problems == []
    assert report.ok
    assert report.counts["cards"] == len(CARDS)
    assert report.counts["customers"] == 1
    assert report.totals["demo", 1, "USD"].liability == sum(row[3] for row in CARDS)
    assert report.totals["demo", 1, "POINTS"].liability == 10_000


def test_loading_again_changes_nothing(loaded: Database, keys: SecretKeys) -> None:
    before = verify(loaded)
    assert demo.load(loaded, keys) is False
    assert verify(loaded).counts == before.counts


def test_another_merchants_database_is_refused(database: Database, keys: SecretKeys) -> None:
    row = {
        "id": "acme", "display_name": "Acme", "time_zone": "UTC", "home_cell": 1, "cells": 1,
        "state": 1, "create_time": 1, "update_time": 1,
    }  # fmt: skip
    with database.connect_writer() as connection:
        connection.exec_driver_sql(
            f"INSERT INTO merchant ({', '.join(row)})"
            f" VALUES ({', '.join(repr(value) for value in row.values())})"
        )
        commit(connection)
    with pytest.raises(demo.DemoError, match="has a merchant already"):
        demo.load(database, keys)
    with database.connect_reader() as connection:
        assert [each.id for each in queries.merchants_page(connection, limit=9)] == ["acme"]


def test_strangers_never_meet_the_demo(loaded: Database, settings: Settings) -> None:
    found = []
    for changes, _ in EXPOSED:
        exposed = dataclasses.replace(settings, **changes)
        try:
            demo.refuse_exposure(exposed, loaded)
            found.append((changes, False))
        except SettingsError:
            found.append((changes, True))
    assert found == EXPOSED


def test_a_database_without_the_demo_may_be_exposed(database: Database, settings: Settings) -> None:
    exposed = dataclasses.replace(settings, grpc_address="0.0.0.0:1", allow_plaintext=True)
    demo.refuse_exposure(exposed, database)


def test_an_interrupted_load_leaves_nothing(
    database: Database, keys: SecretKeys, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = (*demo.CARDS, dataclasses.replace(demo.CARDS[0], program="NONE"))
    monkeypatch.setattr(demo, "CARDS", broken)
    with pytest.raises(AssertionError, match="not approved"):
        demo.load(database, keys)
    with database.connect_reader() as connection:
        assert queries.merchants_page(connection, limit=9) == []
