"""A server inside the command line's own process, for when no other one runs.

It listens on a Unix socket in a directory that only this user may enter, and takes one token that
exists in memory only.  So the command line has one way to ask for things, the contract, and a
fresh installation needs no first credential.
"""

import contextlib
import dataclasses
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Final

from giftcard.v1 import ApiClient

from server.app import Server, keys_of, open_database
from server.domain.administration import home_cell
from server.secrets import new_token, token_hash
from server.settings import Settings
from server.storage import queries
from server.storage.database import Database
from server.storage.directory import Principal

#: Whose history the operator's own calls belong to, such as creating a merchant.
PLATFORM: Final = "platform"
OPERATOR: Final = "operator"

_SCOPES: Final = frozenset(ApiClient.Scope.keys()) - {"SCOPE_UNSPECIFIED"}
#: A Unix socket's path has room for 107 bytes (103 on macOS).
_DIRECTORY_BYTES_MAX: Final = 70
_DRAIN_SECONDS: Final = 5


class NoSuchMerchantError(Exception):
    """The message names the merchants there are."""


@dataclasses.dataclass(frozen=True, slots=True, repr=False)
class Access:
    """Where the server listens, and the token it takes."""

    address: str
    token: str


@contextlib.asynccontextmanager
async def local_server(settings: Settings, merchant_id: str = "") -> AsyncIterator[Access]:
    """Serves the configured database on the running event loop until the block ends.

    Its operator speaks for `merchant_id`, or for the platform when that is empty.  Raises
    NoSuchMerchantError, or one of `server.__main__.CANNOT_START`.
    """
    keys = keys_of(settings)
    database = open_database(settings)
    with contextlib.ExitStack() as stack:
        stack.enter_context(contextlib.closing(database))
        principal = _operator(database, merchant_id)
        directory = stack.enter_context(private_directory())
        token = new_token()
        own = dataclasses.replace(
            settings,
            grpc_address=f"unix:{directory / 'socket'}",
            tls_certificate_file="",
            tls_key_file="",
            tls_client_ca_file="",
            access_log=False,
            workers=1,
            drain_seconds=_DRAIN_SECONDS,
        )
        server = Server(own, database, keys, operators={token_hash(token): principal})
        await server.start()
        try:
            yield Access(own.grpc_address, token)
        finally:
            await server.stop()


def _operator(database: Database, merchant_id: str) -> Principal:
    if not merchant_id:
        return Principal(PLATFORM, OPERATOR, home_cell(PLATFORM), "UTC", _SCOPES, "", None)
    with database.connect_reader() as connection:
        merchant = queries.merchant(connection, merchant_id)
        if merchant is None:
            known = [each.id for each in queries.merchants_page(connection, limit=10)]
            raise NoSuchMerchantError(
                f"There is no merchant {merchant_id!r}. "
                + (f"There is: {', '.join(known)}." if known else "Create one: giftcard admin"
                   " merchant create --help")
            )  # fmt: skip
    return Principal(
        merchant.id, OPERATOR, merchant.home_cell, merchant.time_zone, _SCOPES, "", None
    )


@contextlib.contextmanager
def private_directory() -> Iterator[Path]:
    """A directory of mode 0700 whose path is short enough for a socket in it."""
    long = len(tempfile.gettempdir().encode()) > _DIRECTORY_BYTES_MAX
    with tempfile.TemporaryDirectory(prefix="giftcard-", dir="/tmp" if long else None) as name:  # noqa: S108 - mode 0700, random name
        yield Path(name)
