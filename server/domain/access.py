"""Who may call: API clients and their credentials.

Pure functions like those of `administration`.  Two rules stand above all: nobody gives a scope
that they do not have, and a secret comes in only as it is stored, after all else was decided.
This module must not know how a secret is made, hashed or checked.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

import orjson

from server.domain.administration import (
    Effect,
    Owner,
    etag_of,
    next_time,
    require_etag,
    require_new,
)
from server.domain.commands import RowChange
from server.domain.errors import InvalidField, Rejected

TOKEN: Final = 1
PASSWORD: Final = 2

ACTIVE: Final = 1
EXPIRED: Final = 2
REVOKED: Final = 3

#: Usable credentials of one kind that a client may have: the old and the new one of a rotation.
CREDENTIALS_MAX: Final = 2

PLATFORM: Final = "PLATFORM"

_MICROSECONDS: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Client:
    """An API client; `scopes` are names, in the order of the contract."""

    id: str
    merchant_id: str
    display_name: str
    scopes: tuple[str, ...]
    location_code: str
    state: int
    create_time: int
    update_time: int

    @property
    def etag(self) -> str:
        return etag_of(self.id, self.update_time)


@dataclass(frozen=True, slots=True)
class Credential:
    """What is known of a credential without its secret.  Instants in microseconds."""

    id: str
    merchant_id: str
    client_id: str
    kind: int
    login: str
    expire_time: int | None
    revoke_time: int | None
    create_time: int

    def state_at(self, now: int) -> int:
        """Derived from the clock, so that no job is needed for it to be true."""
        if self.revoke_time is not None:
            return REVOKED
        if self.expire_time is not None and self.expire_time <= now:
            return EXPIRED
        return ACTIVE


@dataclass(frozen=True, slots=True, repr=False)
class StoredSecret:
    """A secret as it is kept: the SHA-256 of a token, or the Argon2id text of a password."""

    token_hash: bytes | None = None
    password_hash: str | None = None


# API clients


def require_scopes(held: frozenset[str], wanted: Iterable[str]) -> None:
    """Nobody gives a scope that they do not have, except who administers the platform."""
    missing = sorted(set(wanted) - held)
    if missing and PLATFORM not in held:
        raise Rejected("SCOPE_MISSING", scope=", ".join(missing))


def _client_values(client: Client) -> dict[str, Any]:
    return {**asdict(client), "scopes": orjson.dumps(client.scopes).decode()}


def create_client(
    owner: Owner, client: Client, existing: Client | None, held: frozenset[str]
) -> Effect:
    """`held` are the scopes of who asks."""
    require_scopes(held, client.scopes)
    require_new(existing, f"merchants/{client.merchant_id}/apiClients/{client.id}")
    values = {**_client_values(client), "cell": owner.cell}
    return Effect((RowChange("api_client", values),), {"resource": asdict(client)})


def update_client(
    owner: Owner,
    current: Client,
    terms: Mapping[str, Any],
    etag: str,
    held: frozenset[str],
    now: int,
) -> Effect:
    """`terms` are the fields of `Client` that change.  Scopes it has already are no new grant."""
    require_etag(etag, current.etag)
    _require_reach(held, current)
    changed = replace(current, **terms, update_time=next_time(now, current.update_time))
    require_scopes(held, set(changed.scopes) - set(current.scopes))
    keys = {
        "merchant_id": owner.merchant_id, "id": current.id, "cell": owner.cell,
        "update_time": current.update_time,
    }  # fmt: skip
    row = _client_values(changed)
    values = {name: row[name] for name in (*terms, "update_time")}
    return Effect((RowChange("api_client", values, keys),), {"resource": asdict(changed)})


def _require_reach(held: frozenset[str], client: Client) -> None:
    """A merchant's own administrator may not touch a client of the platform's operators."""
    if PLATFORM in client.scopes:
        require_scopes(held, (PLATFORM,))


# Credentials


def create_credential(
    owner: Owner,
    client: Client,
    credential: Credential,
    siblings: Sequence[Credential],
    held: frozenset[str],
    *,
    login_taken: bool,
    now: int,
) -> Effect:
    """Without the secret: `with_secret` adds it, once nothing speaks against the credential.

    A credential gives its holder the client's scopes, so who asks must have those.
    """
    require_scopes(held, client.scopes)
    _require_future(credential.expire_time, "credential.expire_time", now)
    parent = f"merchants/{client.merchant_id}/apiClients/{client.id}"
    if login_taken:
        raise Rejected("RESOURCE_EXISTS", resource=f"{parent}/credentials", field="login")
    _require_room(siblings, credential.kind, now, parent)
    change = RowChange("credential", {**asdict(credential), "cell": owner.cell})
    return Effect((change,), {"resource": asdict(credential)})


def with_secret(effect: Effect, secret: StoredSecret) -> Effect:
    """Puts the stored form of the secret into the row of the new credential: the last change."""
    *others, change = effect.changes
    row = replace(change, values={**change.values, **asdict(secret)})
    return replace(effect, changes=(*others, row))


def revoke_credential(
    owner: Owner, credential: Credential, client: Client, held: frozenset[str], now: int
) -> Effect:
    """One that is revoked already stays as it is, and that is no error."""
    _require_reach(held, client)
    if credential.revoke_time is not None:
        return Effect((), {"resource": asdict(credential)})
    keys = {"id": credential.id, "cell": owner.cell, "revoke_time": None}
    change = RowChange("credential", {"revoke_time": now}, keys)
    return Effect((change,), {"resource": asdict(replace(credential, revoke_time=now))})


def rotate_credential(
    owner: Owner,
    client: Client,
    old: Credential,
    new: Credential,
    siblings: Sequence[Credential],
    held: frozenset[str],
    *,
    overlap_seconds: int,
    now: int,
) -> Effect:
    """Ends `old` after the overlap, never later than it would have ended by itself.

    A login has one password at a time, so a PASSWORD is revoked at once.  The row of `new` still
    needs `with_secret`.
    """
    if old.state_at(now) != ACTIVE:
        raise Rejected("CREDENTIAL_NOT_FOUND")
    require_scopes(held, client.scopes)
    _require_future(new.expire_time, "expire_time", now)
    ended: dict[str, Any] = {"revoke_time": now}
    if old.kind == TOKEN:
        end = now + overlap_seconds * _MICROSECONDS
        ended = {"expire_time": end if old.expire_time is None else min(end, old.expire_time)}
    previous = replace(old, **ended)
    others = [each for each in siblings if each.id != old.id]
    parent = f"merchants/{client.merchant_id}/apiClients/{client.id}"
    _require_room([*others, previous], new.kind, now, parent)
    keys = {
        "id": old.id, "cell": owner.cell, "expire_time": old.expire_time, "revoke_time": None,
    }  # fmt: skip
    return Effect(
        (
            RowChange("credential", ended, keys),
            RowChange("credential", {**asdict(new), "cell": owner.cell}),
        ),
        {"resource": asdict(new), "previous": asdict(previous)},
    )


def _require_future(instant: int | None, field_path: str, now: int) -> None:
    if instant is not None and instant <= now:
        raise InvalidField(field_path, "Must be in the future.")


def _require_room(siblings: Iterable[Credential], kind: int, now: int, parent: str) -> None:
    usable = [c for c in siblings if c.kind == kind and c.state_at(now) == ACTIVE]
    if len(usable) >= CREDENTIALS_MAX:
        raise Rejected("RESOURCE_EXISTS", resource=f"{parent}/credentials", limit=CREDENTIALS_MAX)
