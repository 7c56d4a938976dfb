"""TLS of the gRPC port: the certificate is read again for each new connection.

A certificate that was renewed on disk is served from the next handshake on; connections that are
open live on.  What cannot be used (half written, a key of another certificate, out of date) is said
once in the log, and the last good one stays.  gRPC speaks TLS 1.2 and 1.3 only.

Must not know what is called over the connection.
"""

import datetime as dt
import logging
import os
import stat
from pathlib import Path
from typing import Final, NamedTuple

import grpc
from cryptography import x509
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
)

from server.settings import Settings, SettingsError

logger = logging.getLogger("giftcard.tls")

_FILE_BYTES_MAX: Final = 1_048_576
_KEPT: Final = "the certificate on disk cannot be used, so the last one stays: %s"


class _Material(NamedTuple):
    """The files' contents; no client CA means that no client certificate is asked for."""

    certificate: bytes
    key: bytes
    client_ca: bytes | None


class ServerCertificate:
    """The certificate of the settings' files, as it is on disk from time to time."""

    def __init__(self, settings: Settings) -> None:
        """Raises SettingsError where the files cannot be served."""
        self._certificate_file = Path(settings.tls_certificate_file)
        self._key_file = Path(settings.tls_key_file)
        self._client_ca_file = (
            Path(settings.tls_client_ca_file) if settings.tls_client_ca_file else None
        )
        self._seen: _Material | SettingsError = self._read()
        self._initial = _checked(self._seen)
        self._served = self._seen

    def credentials(self) -> grpc.ServerCredentials:
        """For `add_secure_port`; with a client CA, a client without its certificate is refused."""
        return grpc.dynamic_ssl_server_credentials(
            self._initial,
            self._renewed,  # type: ignore[arg-type] # the stubs do not know of None
            require_client_authentication=self._client_ca_file is not None,
        )

    def expire_timestamp(self) -> float:
        """When the certificate that is served ends, in seconds since the epoch."""
        served = _first("GIFTCARD_TLS_CERTIFICATE_FILE", self._served.certificate)
        return served.not_valid_after_utc.timestamp()

    def _renewed(self) -> grpc.ServerCertificateConfiguration | None:
        """What gRPC asks before each handshake, on a thread of its own; None is "as before".

        Comparing the contents needs no trust in the clock of a file system, and reading three
        small files is nothing beside a handshake.
        """
        try:
            material = self._read()
            if material == self._seen:
                return None
            configuration = _checked(material)
        except SettingsError as error:
            if str(error) != str(self._seen):
                # Our own sentence; where it was raised adds nothing.
                logger.error(_KEPT, error)  # noqa: TRY400
                self._seen = error
            return None
        self._seen = self._served = material
        logger.info("a new certificate is served from now on")
        return configuration

    def _read(self) -> _Material:
        return _Material(
            _content("GIFTCARD_TLS_CERTIFICATE_FILE", self._certificate_file),
            _content("GIFTCARD_TLS_KEY_FILE", self._key_file, secret=True),
            None
            if self._client_ca_file is None
            else _content("GIFTCARD_TLS_CLIENT_CA_FILE", self._client_ca_file),
        )


def _content(setting: str, path: Path, *, secret: bool = False) -> bytes:
    try:
        # O_NONBLOCK: opening a named pipe must not wait for a writer.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as file:
            mode = os.fstat(descriptor).st_mode
            if not stat.S_ISREG(mode):
                raise SettingsError(f"{setting} is not a regular file.")
            # A group may read it: so programs that renew certificates hand keys over.
            if secret and mode & (stat.S_IRWXO | stat.S_IWGRP):
                raise SettingsError(
                    f"{setting} can be read by others or written by its group (chmod 640 it)."
                )
            return file.read(_FILE_BYTES_MAX)
    except OSError as error:
        raise SettingsError(f"{setting} cannot be read: {error.strerror}.") from None


def _checked(material: _Material) -> grpc.ServerCertificateConfiguration:
    """Raises SettingsError for what a handshake would fail with; no word of a parser is kept."""
    certificate = _first("GIFTCARD_TLS_CERTIFICATE_FILE", material.certificate)
    try:
        key = load_pem_private_key(material.key, password=None)
    except (ValueError, TypeError):  # TypeError: it is encrypted
        raise SettingsError(
            "GIFTCARD_TLS_KEY_FILE must hold one private key in PEM, without a password."
        ) from None
    form = Encoding.DER, PublicFormat.SubjectPublicKeyInfo
    if key.public_key().public_bytes(*form) != certificate.public_key().public_bytes(*form):
        raise SettingsError(
            "GIFTCARD_TLS_KEY_FILE is not the key of the certificate in"
            " GIFTCARD_TLS_CERTIFICATE_FILE."
        )
    now = dt.datetime.now(dt.UTC)
    if not certificate.not_valid_before_utc <= now < certificate.not_valid_after_utc:
        raise SettingsError(
            "GIFTCARD_TLS_CERTIFICATE_FILE is valid from"
            f" {certificate.not_valid_before_utc:%Y-%m-%dT%H:%MZ} until"
            f" {certificate.not_valid_after_utc:%Y-%m-%dT%H:%MZ}, and not now."
        )
    if material.client_ca is not None:
        _first("GIFTCARD_TLS_CLIENT_CA_FILE", material.client_ca)
    return grpc.ssl_server_certificate_configuration(
        [(material.key, material.certificate)], root_certificates=material.client_ca
    )


def _first(setting: str, content: bytes) -> x509.Certificate:
    """The first of a file's certificates; all of them are read."""
    try:
        return x509.load_pem_x509_certificates(content)[0]
    except ValueError:
        raise SettingsError(f"{setting} must hold certificates in PEM.") from None
