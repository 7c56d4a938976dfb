"""TLS and mTLS to the real server, as the client's files say it."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from giftcard.v1 import ListGiftCardsRequest
from giftcard_client import GiftcardClient, Tls, reasons

from tests.certificates import Authority
from tests.client.till import BRIEF, LONG
from tests.grpc_server import TOKEN, GrpcServer


@pytest.fixture(scope="module", params=["TLS", "mTLS"])
def secured(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[GrpcServer, Path]]:
    """A server, and a folder with the files of its authority, its clients and a stranger."""
    directory = tmp_path_factory.mktemp(request.param)
    authority, stranger = Authority(), Authority("stranger")
    ca = authority.write(directory)
    own = authority.issue().write(directory, "server")
    authority.issue("till").write(directory, "till")
    stranger.write(directory, "stranger")
    stranger.issue("thief").write(directory, "thief")
    environment = {
        "GIFTCARD_TLS_CERTIFICATE_FILE": str(own.certificate_file),
        "GIFTCARD_TLS_KEY_FILE": str(own.key_file),
        "GIFTCARD_TLS_CLIENT_CA_FILE": str(ca) if request.param == "mTLS" else "",
    }
    database_url = f"sqlite:///{directory / 'giftcard.sqlite3'}"
    with GrpcServer(database_url, directory, environment=environment) as server:
        server.start()
        yield server, directory


@pytest.mark.parametrize(
    ("trusted", "shown", "tls", "mtls"),
    [
        ("ca", "till", True, True),
        ("ca", None, True, False),
        ("ca", "thief", True, False),
        ("stranger", "till", False, False),
        (None, None, False, False),
    ],
    ids=["both sides", "no certificate", "a stranger's", "trusts a stranger", "plaintext"],
)
async def test_who_is_let_in(
    request: pytest.FixtureRequest,
    secured: tuple[GrpcServer, Path],
    trusted: str | None,
    shown: str | None,
    tls: bool,
    mtls: bool,
) -> None:
    server, directory = secured
    works = mtls if "mTLS" in request.node.name else tls
    files = None
    if trusted is not None:
        files = Tls(
            ca_file=directory / f"{trusted}.pem",
            certificate_file=directory / f"{shown}.pem" if shown else None,
            key_file=directory / f"{shown}-key.pem" if shown else None,
        )
    policy = LONG if works else BRIEF
    async with GiftcardClient(server.address, token=TOKEN, tls=files, retry=policy) as till:
        if works:
            await till.gift_cards.ListGiftCards(ListGiftCardsRequest())
        else:
            with pytest.raises(reasons.Unavailable):
                await till.gift_cards.ListGiftCards(ListGiftCardsRequest())
