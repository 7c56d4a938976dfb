"""TLS to the service: whom the shim trusts, and the certificate that it shows.

The files are read once: a renewed one counts from the next start.
"""

import stat
from pathlib import Path
from typing import Final

import grpc
from cryptography import x509
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
)

from compat_http.settings import Settings, SettingsError

#: Programs that renew certificates hand keys over to a group; nobody else may read them.
_OTHERS: Final = stat.S_IRWXO | stat.S_IWGRP


def upstream_credentials(settings: Settings) -> grpc.ChannelCredentials | None:
    """None where the service is called without TLS.

    Raises:
        SettingsError: a file cannot be used; the first call would only say "no connection".
    """
    if not settings.http_upstream_ca_file:
        return None
    ca = _content("GIFTCARD_HTTP_UPSTREAM_CA_FILE", settings.http_upstream_ca_file)
    _first("GIFTCARD_HTTP_UPSTREAM_CA_FILE", ca)
    if not settings.http_upstream_certificate_file:
        return grpc.ssl_channel_credentials(ca)
    certificate = _content(
        "GIFTCARD_HTTP_UPSTREAM_CERTIFICATE_FILE", settings.http_upstream_certificate_file
    )
    own = _first("GIFTCARD_HTTP_UPSTREAM_CERTIFICATE_FILE", certificate)
    key = _content("GIFTCARD_HTTP_UPSTREAM_KEY_FILE", settings.http_upstream_key_file)
    if stat.S_IMODE(Path(settings.http_upstream_key_file).stat().st_mode) & _OTHERS:
        raise SettingsError(
            "GIFTCARD_HTTP_UPSTREAM_KEY_FILE can be read by others or written by its group"
            " (chmod 640 it)."
        )
    try:
        public = load_pem_private_key(key, password=None).public_key()
    except (ValueError, TypeError):  # TypeError: it is encrypted
        raise SettingsError(
            "GIFTCARD_HTTP_UPSTREAM_KEY_FILE must hold one private key in PEM, without a password."
        ) from None
    form = Encoding.DER, PublicFormat.SubjectPublicKeyInfo
    if public.public_bytes(*form) != own.public_key().public_bytes(*form):
        raise SettingsError(
            "GIFTCARD_HTTP_UPSTREAM_KEY_FILE is not the key of the certificate in"
            " GIFTCARD_HTTP_UPSTREAM_CERTIFICATE_FILE."
        )
    return grpc.ssl_channel_credentials(ca, key, certificate)


def _content(setting: str, path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise SettingsError(f"{setting} cannot be read: {error.strerror}.") from None


def _first(setting: str, content: bytes) -> x509.Certificate:
    """The first of a file's certificates; all of them are read."""
    try:
        return x509.load_pem_x509_certificates(content)[0]
    except ValueError:
        raise SettingsError(f"{setting} must hold certificates in PEM.") from None
