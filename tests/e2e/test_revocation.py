"""A token that was revoked ends within five seconds: here, in another process, through the shim."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import grpc
import pytest
from giftcard import v1

from tests.certificates import Authority
from tests.compat.stage import ShimServer, call
from tests.grpc_server import TOKEN, GrpcServer
from tests.rpc.edge_stage import authorization, unique

WITHIN_SECONDS: Final = 5.0


@pytest.fixture
def served(postgresql_url: str, tmp_path: Path) -> Iterator[tuple[Any, Any, str]]:
    """Two server processes over one database, by mTLS, and a shim before the second."""
    authority = Authority()
    pair = authority.issue().write(tmp_path, "server")
    own = authority.issue("client")
    own_files, trusted = own.write(tmp_path, "client"), str(authority.write(tmp_path))
    tls = {
        "GIFTCARD_TLS_CERTIFICATE_FILE": str(pair.certificate_file),
        "GIFTCARD_TLS_KEY_FILE": str(pair.key_file),
        "GIFTCARD_TLS_CLIENT_CA_FILE": trusted,
    }
    upstream = {
        "GIFTCARD_HTTP_UPSTREAM_CA_FILE": trusted,
        "GIFTCARD_HTTP_UPSTREAM_CERTIFICATE_FILE": str(own_files.certificate_file),
        "GIFTCARD_HTTP_UPSTREAM_KEY_FILE": str(own_files.key_file),
    }
    credentials = grpc.ssl_channel_credentials(authority.certificate, own.key, own.certificate)
    with (
        GrpcServer(postgresql_url, tmp_path, environment=tls) as first,
        GrpcServer(postgresql_url, tmp_path, environment=tls, log_name="second.log") as second,
    ):
        first.start()
        second.start()
        with (
            grpc.secure_channel(first.address, credentials) as one,
            grpc.secure_channel(second.address, credentials) as other,
            ShimServer(second.address, tmp_path, environment=upstream) as shim,
        ):
            yield one, other, shim.start()
            assert shim.stop() == 0
        assert first.stop() == second.stop() == 0


def _allowed(channel: Any, token: str) -> bool:
    cards: Any = v1.GiftCardServiceStub(channel)
    try:
        cards.ListGiftCards(
            v1.ListGiftCardsRequest(), metadata=(("authorization", authorization(token)),),
            timeout=20,
        )  # fmt: skip
    except grpc.RpcError as error:
        code: Any = error
        assert code.code() is grpc.StatusCode.UNAUTHENTICATED
        return False
    return True


def _allowed_by_shim(address: str, token: str) -> bool:
    """An unknown card is looked for by whoever may."""
    said = call(
        address, "GET", "/Giftcard/NOBODYS-1/BalanceCheck",
        headers={"Authorization": f"Bearer {token}"},
    )  # fmt: skip
    assert said.status in {401, 404}, said
    return said.status == 404


def test_a_revoked_token_ends_everywhere_within_five_seconds(served: tuple[Any, Any, str]) -> None:
    one, other, shim = served
    admin = v1.AdminServiceStub(one)
    metadata = (("authorization", authorization(TOKEN)),)

    def ask(method: Any, request: Any) -> Any:
        return method(request, metadata=metadata, timeout=20)

    token = v1.Credential(kind=v1.Credential.TOKEN)
    leaver = ask(
        admin.CreateApiClient,
        v1.CreateApiClientRequest(
            parent="merchants/shop", api_client_id="leaver", request_id=unique(),
            api_client=v1.ApiClient(scopes=[v1.ApiClient.READ]),
        ),
    )  # fmt: skip
    made = ask(
        admin.CreateCredential,
        v1.CreateCredentialRequest(parent=leaver.name, credential=token, request_id=unique()),
    )
    rotated = ask(
        admin.RotateCredential, v1.RotateCredentialRequest(name=made.name, request_id=unique())
    )
    ways: dict[str, Callable[[str], bool]] = {
        "the process that revokes": lambda secret: _allowed(one, secret),
        "another process": lambda secret: _allowed(other, secret),
        "the shim": lambda secret: _allowed_by_shim(shim, secret),
    }
    for secret in (made.secret, rotated.credential.secret):
        # Both live, and remembered everywhere.
        assert {name: allowed(secret) for name, allowed in ways.items()} == dict.fromkeys(
            ways, True
        )
    for name, secret in (
        (made.name, made.secret), (rotated.credential.name, rotated.credential.secret),
    ):  # fmt: skip
        for allowed in ways.values():
            allowed(secret)
        ask(admin.RevokeCredential, v1.RevokeCredentialRequest(name=name, request_id=unique()))
        # Measured from the answer, and each way until it ends.
        revoked = time.monotonic()
        for way, allowed in ways.items():
            while allowed(secret):
                assert time.monotonic() - revoked < WITHIN_SECONDS, way
                time.sleep(0.1)
    assert {name: allowed(TOKEN) for name, allowed in ways.items()} == dict.fromkeys(ways, True)
