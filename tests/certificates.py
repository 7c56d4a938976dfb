"""Certificates for tests: an authority of one's own, and what it signs, as PEM files.

    authority = Authority("tests")
    pair = authority.issue("localhost").write(directory, "server")
    pair.certificate_file, pair.key_file, authority.write(directory, "ca")

Keys are P-256, made afresh each time; nothing here is trusted by anything but a test.
"""

import datetime as dt
import ipaddress
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

__all__ = ["Authority", "PairFiles", "Signed", "replace"]

LOCAL_NAMES: Final = ("localhost", "127.0.0.1", "::1")
_BACKDATED: Final = dt.timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class PairFiles:
    certificate_file: Path
    key_file: Path


@dataclass(frozen=True, slots=True)
class Signed:
    """A certificate and its private key, both PEM; `serial_number` tells it from others."""

    certificate: bytes
    key: bytes
    serial_number: int

    def write(self, directory: Path, name: str) -> PairFiles:
        """Writes `name`.pem and `name`-key.pem (owner only), each at one stroke."""
        pair = PairFiles(directory / f"{name}.pem", directory / f"{name}-key.pem")
        replace(pair.key_file, self.key)
        replace(pair.certificate_file, self.certificate)
        return pair


class Authority:
    """Signs certificates for a day; `name` is its common name."""

    def __init__(self, name: str = "test authority") -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _named(name)
        builder = _builder(self._name, self._name, self._key.public_key(), days=1).add_extension(
            x509.BasicConstraints(ca=True, path_length=0), critical=True
        )
        self.certificate = builder.sign(self._key, hashes.SHA256()).public_bytes(Encoding.PEM)

    def write(self, directory: Path, name: str = "ca") -> Path:
        path = directory / f"{name}.pem"
        replace(path, self.certificate)
        return path

    def issue(
        self,
        common_name: str = "localhost",
        *,
        names: Sequence[str] = LOCAL_NAMES,
        days: int = 1,
    ) -> Signed:
        """A certificate for servers and clients alike; it has expired where `days` is negative.

        `names` are the host names and addresses it is good for.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = (
            _builder(_named(common_name), self._name, key.public_key(), days=days)
            .add_extension(x509.SubjectAlternativeName([_general(name) for name in names]), False)
            .add_extension(
                x509.ExtendedKeyUsage(
                    [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
                ),
                critical=False,
            )
            .sign(self._key, hashes.SHA256())
        )
        return Signed(
            certificate.public_bytes(Encoding.PEM),
            key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
            certificate.serial_number,
        )


def replace(path: Path, content: bytes) -> None:
    """Puts a file in the place of another at one stroke, as an operator's tool should."""
    draft = path.with_name(f".{path.name}.new")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
    draft.replace(path)


def _named(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, *, days: int
) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.UTC)
    end = now + dt.timedelta(days=days)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(min(now, end) - _BACKDATED)
        .not_valid_after(end)
    )
