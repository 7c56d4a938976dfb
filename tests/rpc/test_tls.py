"""TLS of the gRPC port: who is let in, by which version, and how a certificate is renewed."""

import logging
import os
import re
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
from cryptography import x509
from grpc_health.v1 import health_pb2, health_pb2_grpc

from server.settings import Settings, SettingsError
from server.tls import ServerCertificate
from tests.certificates import Authority, Signed, replace
from tests.rpc.server_thread import ServerThread, keys_in

SERVERS = ("TLS", "mTLS")


@dataclass(frozen=True, slots=True)
class Secured:
    """A server with TLS or mTLS, and what its clients may have."""

    port: int
    directory: Path
    authority: Authority
    stranger: Authority

    def ask(self, credentials: grpc.ChannelCredentials | None, host: str = "localhost") -> str:
        """The name of the status of one call over a new connection."""
        options = (("grpc.use_local_subchannel_pool", 1),)
        address = f"{host}:{self.port}"
        with (
            grpc.insecure_channel(address, options)
            if credentials is None
            else grpc.secure_channel(address, credentials, options)
        ) as channel:
            try:
                _check_of(channel)(health_pb2.HealthCheckRequest(), timeout=5)
            except grpc.RpcError as error:
                return str(error.code().name)
        return "OK"

    def certificate(self, context: ssl.SSLContext | None = None) -> tuple[int, str]:
        """The serial number that a new handshake shows, and the version of TLS."""
        if context is None:
            context = ssl.create_default_context(cadata=self.authority.certificate.decode())
            pair = self.authority.issue("till").write(self.directory, "till")
            context.load_cert_chain(pair.certificate_file, pair.key_file)
        context.set_alpn_protocols(["h2"])
        with (
            socket.create_connection(("localhost", self.port), timeout=10) as plain,
            context.wrap_socket(plain, server_hostname="localhost") as secured,
        ):
            shown = secured.getpeercert(binary_form=True)
            assert shown is not None
            return x509.load_der_x509_certificate(shown).serial_number, secured.version() or ""


def _check_of(channel: grpc.Channel) -> Any:
    stub: Any = health_pb2_grpc.HealthStub(channel)
    return stub.Check


def settings_in(directory: Path, *, client_ca: bool = False) -> Settings:
    return Settings(
        database_url=f"sqlite:///{directory / 'giftcard.db'}",
        grpc_address="127.0.0.1:0",
        access_log=False,
        drain_seconds=1,
        tls_certificate_file=str(directory / "server.pem"),
        tls_key_file=str(directory / "server-key.pem"),
        tls_client_ca_file=str(directory / "ca.pem") if client_ca else "",
    )


@pytest.fixture(params=SERVERS)
def secured(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Secured]:
    authority = Authority()
    authority.write(tmp_path)
    authority.issue().write(tmp_path, "server")
    settings = settings_in(tmp_path, client_ca=request.param == "mTLS")
    thread = ServerThread(settings, keys_in(tmp_path))
    thread.start()
    try:
        yield Secured(thread.port, tmp_path, authority, Authority("stranger"))
    finally:
        thread.stop()


#: What the client trusts, whose certificate it shows, and how it fares with TLS and with mTLS.
CLIENTS: list[tuple[str, Callable[[Secured], grpc.ChannelCredentials | None], str, str]] = [
    ("plaintext", lambda _: None, "UNAVAILABLE", "UNAVAILABLE"),
    ("no certificate", lambda s: _trusting(s.authority), "OK", "UNAVAILABLE"),
    ("its own certificate",
     lambda s: _trusting(s.authority, s.authority.issue("till")), "OK", "OK"),
    ("a certificate of another authority",
     lambda s: _trusting(s.authority, s.stranger.issue("till")), "OK", "UNAVAILABLE"),
    ("an expired certificate",
     lambda s: _trusting(s.authority, s.authority.issue("till", days=-1)), "OK", "UNAVAILABLE"),
    ("trusts another authority",
     lambda s: _trusting(s.stranger, s.authority.issue("till")), "UNAVAILABLE", "UNAVAILABLE"),
]  # fmt: skip


def _trusting(authority: Authority, own: Signed | None = None) -> grpc.ChannelCredentials:
    if own is None:
        return grpc.ssl_channel_credentials(authority.certificate)
    return grpc.ssl_channel_credentials(authority.certificate, own.key, own.certificate)


def test_who_is_let_in(secured: Secured, request: pytest.FixtureRequest) -> None:
    mutual = "mTLS" in request.node.name
    for name, credentials, tls, mtls in CLIENTS:
        heard = secured.ask(credentials(secured))
        assert (name, heard) == (name, mtls if mutual else tls)


def test_a_server_of_another_name_is_not_believed(secured: Secured) -> None:
    """The client's own check, which our certificates must not be made to pass by chance."""
    replaced = secured.authority.issue(names=("other.example",))
    replaced.write(secured.directory, "server")
    own = secured.authority.issue("till")
    assert secured.ask(_trusting(secured.authority, own)) == "UNAVAILABLE"


VERSIONS = [
    (ssl.TLSVersion.TLSv1, ""),
    (ssl.TLSVersion.TLSv1_1, ""),
    (ssl.TLSVersion.TLSv1_2, "TLSv1.2"),
    (ssl.TLSVersion.TLSv1_3, "TLSv1.3"),
]


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
def test_only_tls_1_2_and_1_3_are_spoken(secured: Secured) -> None:
    for version, spoken in VERSIONS:
        context = ssl.create_default_context(cadata=secured.authority.certificate.decode())
        pair = secured.authority.issue("till").write(secured.directory, "till")
        context.load_cert_chain(pair.certificate_file, pair.key_file)
        context.set_ciphers("ALL:@SECLEVEL=0")  # or the client itself would refuse the old ones
        context.minimum_version = context.maximum_version = version
        if spoken:
            assert secured.certificate(context)[1] == spoken
        else:
            # The server hangs up; were it the client that refuses, it would say so itself.
            with pytest.raises((ssl.SSLEOFError, ConnectionResetError)):
                secured.certificate(context)


# Renewal


def test_a_renewed_certificate_is_served_and_no_call_is_dropped(secured: Secured) -> None:
    own = secured.authority.issue("till")
    over = threading.Event()
    heard: list[str] = []
    address, credentials = f"localhost:{secured.port}", _trusting(secured.authority, own)
    with grpc.secure_channel(address, credentials) as channel:
        check = _check_of(channel)

        def call() -> None:
            while not over.is_set():
                try:
                    check(health_pb2.HealthCheckRequest(), timeout=10)
                    heard.append("OK")
                except grpc.RpcError as error:
                    heard.append(str(error))

        caller = threading.Thread(target=call)
        caller.start()
        for _ in range(5):
            renewed = secured.authority.issue()
            renewed.write(secured.directory, "server")
            assert secured.certificate()[0] == renewed.serial_number
            before = len(heard)
            assert secured.ask(credentials) == "OK"
            while len(heard) < before + 2 and caller.is_alive():
                pass
        over.set()
        caller.join()
    assert set(heard) == {"OK"}


def _put_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


#: What is wrong with the files on disk, and what the log says of it.
UNUSABLE: list[tuple[str, Callable[[Path, Authority], Any], str]] = [
    ("half a certificate", lambda d, a: (d / "server.pem").write_bytes(a.issue().certificate[:300]),
     "CERTIFICATE_FILE must hold certificates"),
    ("an empty file", lambda d, _: (d / "server.pem").write_bytes(b""),
     "CERTIFICATE_FILE must hold certificates"),
    ("no file", lambda d, _: (d / "server.pem").unlink(), "cannot be read: No such file"),
    ("a named pipe", lambda d, _: _put_pipe(d / "server.pem"),
     "not a regular file"),
    ("only the certificate is new", lambda d, a: replace(d / "server.pem", a.issue().certificate),
     "is not the key of the certificate"),
    ("half a key", lambda d, _: (d / "server-key.pem").write_bytes(b"-----BEGIN PRIVATE KEY-----"),
     "one private key in PEM"),
    ("a key for all to read", lambda d, _: (d / "server-key.pem").chmod(0o644),
     "can be read by others"),
    ("an expired one", lambda d, a: a.issue(days=-1).write(d, "server"), "and not now"),
]  # fmt: skip


@pytest.fixture
def pair_files(tmp_path: Path) -> tuple[Path, Authority]:
    authority = Authority()
    authority.write(tmp_path)
    authority.issue().write(tmp_path, "server")
    return tmp_path, authority


@pytest.mark.parametrize(
    ("spoil", "words"), [row[1:] for row in UNUSABLE], ids=[row[0] for row in UNUSABLE]
)
def test_a_bad_new_certificate_is_not_served(
    pair_files: tuple[Path, Authority],
    caplog: pytest.LogCaptureFixture,
    spoil: Callable[[Path, Authority], Any],
    words: str,
) -> None:
    """What gRPC asks before each handshake says "as before", and the log says why, once."""
    directory, authority = pair_files
    certificate = ServerCertificate(settings_in(directory))
    spoil(directory, authority)
    with caplog.at_level(logging.INFO, "giftcard.tls"):
        assert [certificate._renewed() for _ in range(3)] == [None] * 3
        assert len(caplog.records) == 1
        assert words in caplog.text
        authority.issue().write(directory, "server")
        assert certificate._renewed() is not None
        assert certificate._renewed() is None
    assert caplog.messages[1:] == ["a new certificate is served from now on"]


def test_the_server_keeps_its_certificate_while_the_new_one_is_half_written(
    secured: Secured,
) -> None:
    before = secured.certificate()[0]
    renewed = secured.authority.issue()
    (secured.directory / "server.pem").write_bytes(renewed.certificate[:200])
    assert secured.certificate()[0] == before
    (secured.directory / "server.pem").write_bytes(renewed.certificate)
    assert secured.certificate()[0] == before  # the key is still the old one's
    (secured.directory / "server-key.pem").write_bytes(renewed.key)
    assert secured.certificate()[0] == renewed.serial_number


@pytest.mark.parametrize(
    ("spoil", "words"), [row[1:] for row in UNUSABLE], ids=[row[0] for row in UNUSABLE]
)
def test_it_does_not_start_with_such_files(
    pair_files: tuple[Path, Authority],
    spoil: Callable[[Path, Authority], Any],
    words: str,
) -> None:
    directory, authority = pair_files
    spoil(directory, authority)
    with pytest.raises(SettingsError, match=re.escape(words)):
        ServerCertificate(settings_in(directory))


def test_it_does_not_start_with_unusable_client_authorities(
    pair_files: tuple[Path, Authority],
) -> None:
    directory, _ = pair_files
    (directory / "ca.pem").write_bytes(b"no certificate")
    with pytest.raises(SettingsError, match="GIFTCARD_TLS_CLIENT_CA_FILE must hold"):
        ServerCertificate(settings_in(directory, client_ca=True))
