"""A certificate that is replaced on disk is served, and no call is dropped for it."""

import asyncio
import socket
import ssl
from pathlib import Path

import pytest
from cryptography import x509
from giftcard import v1

from compat_http.envoy import certificate
from tests.edge.envoy import Edge
from tests.edge.process import wait_until
from tests.faults.client import Client, Said

_DEMO = (("authorization", "Bearer demo-service-token"),)


def _served(edge: Edge) -> int:
    """The serial number of what a new connection is shown."""
    shown = ssl.get_server_certificate(("127.0.0.1", edge.port), timeout=60)
    return x509.load_pem_x509_certificate(shown.encode()).serial_number


def _on_disk(edge: Edge) -> int:
    return x509.load_pem_x509_certificate(edge.certificate.read_bytes()).serial_number


async def test_a_new_certificate_is_served_without_a_dropped_call(edge: Edge) -> None:
    """Pitfall: only a rename into the watched folder is seen."""
    before = _served(edge)
    assert before == _on_disk(edge)
    stopped = asyncio.Event()

    async def work(client: Client) -> list[Said]:
        said = []
        while not stopped.is_set():
            request = v1.ListGiftCardsRequest(page_size=1)
            said.append(await client.call("ListGiftCards", request, metadata=_DEMO))
        return said

    # Connections that trust the old certificate, open and busy all the while.
    async with edge.channel() as one, edge.channel() as other:
        clients = [Client([channel]) for channel in (one, other) for _ in range(4)]
        first = await asyncio.gather(
            *(each.call("ListGiftCards", v1.ListGiftCardsRequest(), metadata=_DEMO)
              for each in clients)
        )  # fmt: skip
        assert all(each.ok for each in first)
        workers = [asyncio.create_task(work(client)) for client in clients]
        certificate.replace(edge.directory / "tls")
        new = _on_disk(edge)
        assert new != before
        seconds = await asyncio.to_thread(
            wait_until, "the new certificate is served", lambda: _served(edge) == new
        )
        await asyncio.sleep(0.2)  # some calls after it, too
        stopped.set()
        said = [each for done in await asyncio.gather(*workers) for each in done]
    print(f"the new certificate was served after {seconds:.2f} s, during {len(said)} calls")
    assert len(said) > len(clients)
    assert [each for each in said if not each.ok] == []
    # Who connects now trusts the new one.
    assert edge.call("GET", "/v1/giftCards").status == 401


def test_a_pair_that_does_not_fit_changes_nothing(edge: Edge) -> None:
    """Between the two renames of a new pair, and when only half of one was copied."""
    before = _served(edge)
    folder = edge.directory / "tls"
    own = (folder / certificate.KEY).read_bytes()
    other = folder.parent / "other"
    so_far = _refused(edge)
    certificate.replace(other)
    (other / certificate.KEY).rename(folder / certificate.KEY)
    wait_until("Envoy has seen it", lambda: _refused(edge) > so_far)
    assert _served(edge) == before
    (folder / "back").write_bytes(own)
    (folder / "back").rename(folder / certificate.KEY)
    assert _served(edge) == before


def _refused(edge: Edge) -> int:
    """How often Envoy did not take what it found."""
    said = edge.admin("/stats?filter=sds.edge.key_rotation_failed").decode()
    return int(said.rpartition(":")[2])


def test_the_key_is_for_its_owner_only(tmp_path: Path) -> None:
    certificate.ensure(tmp_path)
    assert (tmp_path / certificate.KEY).stat().st_mode & 0o077 == 0


def test_one_that_holds_is_kept(tmp_path: Path) -> None:
    first = certificate.ensure(tmp_path).read_bytes()
    assert certificate.ensure(tmp_path).read_bytes() == first


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_versions_of_tls(edge: Edge, version: ssl.TLSVersion) -> None:
    context = edge.tls
    context.minimum_version = context.maximum_version = version
    with (
        socket.create_connection(("127.0.0.1", edge.port), timeout=60) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as wrapped,
    ):
        assert wrapped.version() == version.name.replace("_", ".")
