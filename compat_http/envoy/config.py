"""A configuration file with other ports and folders in it.

The files work as they are.  Who runs them elsewhere replaces what they say literally, and hears of
it when they do not say it any more.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

FOLDER: Final = Path(__file__).resolve().parent
ROOT: Final = FOLDER.parent.parent
DEVELOPMENT: Final = FOLDER / "envoy.yaml"
DEVELOPMENT_CERTIFICATE: Final = FOLDER / "certificate.yaml"
PRODUCTION: Final = FOLDER / "production.yaml"
#: One file for each certificate: Envoy takes one from a file, not several.
PRODUCTION_CERTIFICATES: Final = FOLDER / "production"


def render(file: Path, replacements: Mapping[str, str]) -> str:
    """The file's text with every occurrence of each key replaced by its value.

    Raises:
        ValueError: the file does not contain one of the keys.
    """
    text = file.read_text(encoding="utf-8")
    for old in replacements:
        if old not in text:
            raise ValueError(f"{file.name} does not contain {old!r}.")
    # Marked first, so that what was put in is never taken for something to replace.
    for number, old in enumerate(replacements):
        text = text.replace(old, f"\0{number}\0")
    for number, new in enumerate(replacements.values()):
        text = text.replace(f"\0{number}\0", new)
    return text


def development(
    folder: Path,
    *,
    file: Path = DEVELOPMENT,
    edge_port: int,
    admin_port: int,
    grpc_port: int,
    http_port: int,
) -> str:
    """The development configuration for these ports of 127.0.0.1; 0 takes a free one.

    `folder` is where the certificate lies, in `tls/`, and where its description is written.
    """
    described = folder / "certificate.yaml"
    described.write_text(
        render(DEVELOPMENT_CERTIFICATE, {"var/edge/tls": str(folder / "tls")}), encoding="utf-8"
    )
    return render(
        file,
        {
            "port_value: 8443": f"port_value: {edge_port}",
            "port_value: 9901": f"port_value: {admin_port}",
            "port_value: 50051": f"port_value: {grpc_port}",
            "port_value: 8080": f"port_value: {http_port}",
            "path: compat_http/envoy/certificate.yaml": f"path: {described}",
            "generated/giftcard.binpb": str(ROOT / "generated" / "giftcard.binpb"),
        },
    )
