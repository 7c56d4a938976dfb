"""AdminService: every method is parse, ask, render.

ADMINISTER reaches the caller's own merchant, PLATFORM every one.  What a caller may not reach is
answered exactly as what does not exist.  A secret is made after everything else was decided, goes
into the ledger only as a digest, and stands in one answer only.
"""

import asyncio
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from giftcard import v1
from google.protobuf.duration_pb2 import Duration

from server.domain import access, administration
from server.domain.access import Client, Credential, StoredSecret
from server.domain.administration import Effect, Merchant, Owner
from server.domain.errors import InvalidField, Rejected
from server.rpc import fields, render, setup
from server.rpc.bridge import Bridge
from server.rpc.calls import Call, Rpc
from server.rpc.identity import Directory
from server.rpc.pages import PageTokens
from server.secrets import Secret, SecretKeys, hash_password, new_id, new_token, token_hash
from server.storage import setup_queries

SERVICE: Final = "giftcard.v1.AdminService"

OVERLAP_SECONDS_DEFAULT: Final = 24 * 3600
OVERLAP_SECONDS_MAX: Final = 90 * 24 * 3600

_PLATFORM: Final = frozenset({access.PLATFORM})
_ADMINISTER: Final = frozenset({"ADMINISTER", access.PLATFORM})

#: Without a colon, which separates login and password (RFC 7617, section 2).
_LOGIN = re.compile(r"[\x21-\x39\x3b-\x7e]{1,128}")
_PASSWORD_LENGTHS: Final = range(8, 129)
#: Login and password together must fit into one authorization header.
_PASSWORD_BYTES_MAX: Final = 255
_PASSWORD_RANDOM_BYTES: Final = 18


def _scopes(client: v1.ApiClient) -> tuple[str, ...]:
    """Names in the order of the contract, so that the same scopes are the same request."""
    field = "api_client.scopes"
    if not client.scopes:
        raise InvalidField(field, "Is required: a client needs at least one scope.")
    for value in client.scopes:
        if not value or value not in v1.ApiClient.Scope.values():
            raise InvalidField(field, "Has a scope that is not known.")
    if len(set(client.scopes)) != len(client.scopes):
        raise InvalidField(field, "Has a scope twice.")
    return tuple(v1.ApiClient.Scope.Name(value) for value in sorted(client.scopes))


def _location_code(client: v1.ApiClient) -> str:
    field = "api_client.location"
    return fields.chosen_name(client.location, "locations", field) if client.location else ""


#: Field of the message -> the field of `Client` that it sets, and how it is read.
_CLIENT_TERMS: Final[dict[str, tuple[str, Callable[[v1.ApiClient], Any]]]] = {
    "display_name": (
        "display_name",
        lambda client: fields.text(client.display_name, "api_client.display_name"),
    ),
    "scopes": ("scopes", _scopes),
    "location": ("location_code", _location_code),
    "state": (
        "state",
        lambda c: fields.known_enum(c.state, v1.ApiClient.State, "api_client.state"),
    ),
}


def _client_terms(client: v1.ApiClient, paths: list[str]) -> dict[str, Any]:
    terms: dict[str, Any] = {}
    for path in paths:
        name, read = _CLIENT_TERMS[path]
        terms[name] = read(client)
    if terms.get("state") == v1.ApiClient.STATE_UNSPECIFIED:
        # Left as it is.
        del terms["state"]
    return terms


def _password(value: str, kind: int, field: str) -> Secret | None:
    """The password that a legacy system uses already; None lets the server make the secret."""
    if not value:
        return None
    if kind != access.PASSWORD:
        raise InvalidField(field, "Is for a PASSWORD only; the server makes tokens.")
    if len(value) not in _PASSWORD_LENGTHS or len(value.encode()) > _PASSWORD_BYTES_MAX:
        raise InvalidField(
            field, f"Must be 8 to 128 characters, and at most {_PASSWORD_BYTES_MAX} bytes."
        )
    if not value.isprintable():
        raise InvalidField(field, "Must not contain control characters.")
    return Secret(value)


def _overlap_seconds(value: Duration, present: bool) -> int | None:
    if not present:
        return None
    if value.nanos or not 0 <= value.seconds <= OVERLAP_SECONDS_MAX:
        raise InvalidField(
            "overlap", f"Must be a whole number of seconds from 0 to {OVERLAP_SECONDS_MAX}."
        )
    return int(value.seconds)


def _client_name(merchant_id: str, client_id: str) -> str:
    return f"merchants/{merchant_id}/apiClients/{client_id}"


def _merchant_message(merchant: Merchant) -> v1.Merchant:
    return v1.Merchant(
        name=f"merchants/{merchant.id}",
        display_name=merchant.display_name,
        time_zone=merchant.time_zone,
        create_time=render.timestamp(merchant.create_time),
    )


def _client_message(client: Client) -> v1.ApiClient:
    return v1.ApiClient(
        name=_client_name(client.merchant_id, client.id),
        display_name=client.display_name,
        scopes=sorted(v1.ApiClient.Scope.Value(name) for name in client.scopes),
        location=f"locations/{client.location_code}" if client.location_code else "",
        state=client.state,  # type: ignore[arg-type]
        create_time=render.timestamp(client.create_time),
        update_time=render.timestamp(client.update_time),
        etag=client.etag,
    )


def _credential_message(
    credential: Credential, now: int, secret: Secret | None = None
) -> v1.Credential:
    parent = _client_name(credential.merchant_id, credential.client_id)
    return v1.Credential(
        name=f"{parent}/credentials/{credential.id}",
        kind=credential.kind,  # type: ignore[arg-type]
        state=credential.state_at(now),  # type: ignore[arg-type]
        login=credential.login,
        secret="" if secret is None else secret.reveal(),
        expire_time=render.timestamp(credential.expire_time),
        create_time=render.timestamp(credential.create_time),
        revoke_time=render.timestamp(credential.revoke_time),
    )


@dataclass(frozen=True, slots=True)
class _Holder:
    """A client with the place its rows live in, and all its credentials, newest first."""

    owner: Owner
    client: Client
    credentials: list[Credential]


class AdminService:
    def __init__(
        self,
        bridge: Bridge,
        directory: Directory,
        keys: SecretKeys,
        *,
        clock: Callable[[], int],
    ) -> None:
        self._bridge = bridge
        self._clock = clock
        self._changes = setup.Changes(bridge, directory)
        self._pages = PageTokens(keys)

    def rpcs(self) -> list[Rpc]:
        """Every method of the service."""
        return [
            Rpc("CreateMerchant", v1.CreateMerchantRequest, self._create_merchant, _PLATFORM),
            Rpc("GetMerchant", v1.GetMerchantRequest, self._get_merchant, _ADMINISTER),
            Rpc("ListMerchants", v1.ListMerchantsRequest, self._list_merchants, _PLATFORM),
            Rpc("CreateApiClient", v1.CreateApiClientRequest, self._create_client, _ADMINISTER),
            Rpc("GetApiClient", v1.GetApiClientRequest, self._get_client, _ADMINISTER),
            Rpc("ListApiClients", v1.ListApiClientsRequest, self._list_clients, _ADMINISTER),
            Rpc("UpdateApiClient", v1.UpdateApiClientRequest, self._update_client, _ADMINISTER),
            Rpc(
                "CreateCredential",
                v1.CreateCredentialRequest,
                self._create_credential,
                _ADMINISTER,
            ),
            Rpc("ListCredentials", v1.ListCredentialsRequest, self._list_credentials, _ADMINISTER),
            Rpc(
                "RevokeCredential",
                v1.RevokeCredentialRequest,
                self._revoke_credential,
                _ADMINISTER,
            ),
            Rpc(
                "RotateCredential",
                v1.RotateCredentialRequest,
                self._rotate_credential,
                _ADMINISTER,
            ),
        ]

    # Merchants

    async def _create_merchant(self, request: v1.CreateMerchantRequest, call: Call) -> v1.Merchant:
        merchant_id = fields.chosen_id(request.merchant_id, "merchant_id")
        wanted = setup.required(request, "merchant")
        terms = {
            "display_name": fields.text(
                wanted.display_name, "merchant.display_name", required=True
            ),
            "time_zone": fields.time_zone(wanted.time_zone, "merchant.time_zone"),
        }
        command = setup.administer("merchant", "create", f"merchants/{merchant_id}", terms)

        async def plan() -> Effect:
            existing = await self._bridge.read(
                lambda connection: setup_queries.merchant(connection, merchant_id),
                call.caller.merchant_id,
            )
            now = self._clock()
            merchant = Merchant(merchant_id, create_time=now, update_time=now, **terms)
            return administration.create_merchant(merchant, existing)

        facts = await self._changes.carry_out(request, call, command, plan)
        return _merchant_message(Merchant(**facts["resource"]))

    async def _get_merchant(self, request: v1.GetMerchantRequest, call: Call) -> v1.Merchant:
        (merchant_id,) = setup.nested_name(request.name, setup.MERCHANT, "name")
        _reach_merchant(call, merchant_id)
        found = await self._bridge.read(
            lambda connection: setup_queries.merchant(connection, merchant_id),
            call.caller.merchant_id,
        )
        if found is None:
            raise _no_merchant(merchant_id)
        return _merchant_message(found)

    async def _list_merchants(
        self, request: v1.ListMerchantsRequest, call: Call
    ) -> v1.ListMerchantsResponse:
        size = fields.page_size(request.page_size)
        after = self._pages.read(request, call)
        found = await self._bridge.read(
            lambda connection: setup_queries.merchants_page(connection, after, size + 1),
            call.caller.merchant_id,
        )
        return v1.ListMerchantsResponse(
            merchants=[_merchant_message(merchant) for merchant in found[:size]],
            next_page_token=self._pages.next(request, call, [m.id for m in found], size),
        )

    # API clients

    async def _create_client(self, request: v1.CreateApiClientRequest, call: Call) -> v1.ApiClient:
        (merchant_id,) = setup.nested_name(request.parent, setup.MERCHANT, "parent")
        client_id = fields.chosen_id(request.api_client_id, "api_client_id")
        terms = _client_terms(setup.required(request, "api_client"), list(_CLIENT_TERMS))
        terms.setdefault("state", administration.ENABLED)
        _reach_merchant(call, merchant_id)
        _require_own_store(call, terms["location_code"])
        name = _client_name(merchant_id, client_id)
        command = setup.administer("api_client", "create", name, terms)

        def read(connection: Any) -> tuple[Owner, Client | None]:
            owner = _existing_owner(connection, merchant_id)
            _require_location(connection, owner, terms)
            return owner, setup_queries.client(connection, owner, client_id)

        async def plan() -> Effect:
            owner, existing = await self._bridge.read(read, call.caller.merchant_id)
            now = self._clock()
            client = Client(client_id, merchant_id, create_time=now, update_time=now, **terms)
            return access.create_client(owner, client, existing, call.principal.scopes)

        return _client_answer(await self._changes.carry_out(request, call, command, plan))

    async def _update_client(self, request: v1.UpdateApiClientRequest, call: Call) -> v1.ApiClient:
        wanted = setup.required(request, "api_client")
        merchant_id, client_id = setup.nested_name(wanted.name, setup.CLIENT, "api_client.name")
        terms = _client_terms(wanted, setup.masked(wanted, request.update_mask, _CLIENT_TERMS))
        etag = fields.text(wanted.etag, "api_client.etag")
        _reach_client(call, merchant_id, client_id)
        name = _client_name(merchant_id, client_id)
        body = {"terms": terms, "etag": etag}
        command = setup.administer("api_client", "update", name, body)

        def read(connection: Any) -> _Holder:
            found = _holder(connection, merchant_id, client_id)
            _require_location(connection, found.owner, terms)
            return found

        async def plan() -> Effect:
            found = await self._bridge.read(read, call.caller.merchant_id)
            _require_own_store(call, found.client.location_code)
            _require_own_store(call, terms.get("location_code", found.client.location_code))
            held = call.principal.scopes
            return access.update_client(found.owner, found.client, terms, etag, held, self._clock())

        return _client_answer(await self._changes.carry_out(request, call, command, plan))

    async def _get_client(self, request: v1.GetApiClientRequest, call: Call) -> v1.ApiClient:
        merchant_id, client_id = setup.nested_name(request.name, setup.CLIENT, "name")
        _reach_client(call, merchant_id, client_id)
        found = await self._bridge.read(
            lambda connection: _holder(connection, merchant_id, client_id), call.caller.merchant_id
        )
        return _client_message(found.client)

    async def _list_clients(
        self, request: v1.ListApiClientsRequest, call: Call
    ) -> v1.ListApiClientsResponse:
        (merchant_id,) = setup.nested_name(request.parent, setup.MERCHANT, "parent")
        size = fields.page_size(request.page_size)
        after = self._pages.read(request, call)
        _reach_merchant(call, merchant_id)

        def read(connection: Any) -> list[Client]:
            owner = _existing_owner(connection, merchant_id)
            return setup_queries.clients_page(connection, owner, after, size + 1)

        found = await self._bridge.read(read, call.caller.merchant_id)
        return v1.ListApiClientsResponse(
            api_clients=[_client_message(client) for client in found[:size]],
            next_page_token=self._pages.next(request, call, [c.id for c in found], size),
        )

    # Credentials

    async def _create_credential(
        self, request: v1.CreateCredentialRequest, call: Call
    ) -> v1.Credential:
        merchant_id, client_id = setup.nested_name(request.parent, setup.CLIENT, "parent")
        wanted = setup.required(request, "credential")
        terms = _credential_terms(wanted)
        given = _password(request.password, terms["kind"], "password")
        _reach_client(call, merchant_id, client_id)
        command = setup.administer("credential", "create", request.parent, terms)
        secret = given

        def read(connection: Any) -> tuple[_Holder, bool]:
            login = terms["login"]
            taken = bool(login) and setup_queries.login_is_taken(connection, login)
            return _holder(connection, merchant_id, client_id), taken

        async def plan() -> Effect:
            nonlocal secret
            found, taken = await self._bridge.read(read, call.caller.merchant_id)
            _require_own_store(call, found.client.location_code)
            now = self._clock()
            credential = Credential(
                new_id(now), merchant_id, client_id, revoke_time=None, create_time=now, **terms
            )
            effect = access.create_credential(
                found.owner, found.client, credential, found.credentials,
                call.principal.scopes, login_taken=taken, now=now,
            )  # fmt: skip
            secret, stored = await _secret(credential.kind, given)
            return access.with_secret(effect, stored)

        facts = await self._changes.carry_out(request, call, command, plan)
        shown = None if call.replayed else secret
        return _credential_message(Credential(**facts["resource"]), self._clock(), shown)

    async def _rotate_credential(
        self, request: v1.RotateCredentialRequest, call: Call
    ) -> v1.RotateCredentialResponse:
        ids = setup.nested_name(request.name, setup.CREDENTIAL, "name")
        terms = {
            "overlap_seconds": _overlap_seconds(request.overlap, request.HasField("overlap")),
            "expire_time": fields.optional_instant(
                request.expire_time, request.HasField("expire_time"), "expire_time"
            ),
        }
        password = request.password
        _reach_credential(call, ids)
        command = setup.administer("credential", "rotate", request.name, terms)
        secret = None

        async def plan() -> Effect:
            nonlocal secret
            found, old = await self._bridge.read(
                lambda connection: _credential(connection, ids), call.caller.merchant_id
            )
            _require_own_store(call, found.client.location_code)
            given = _password(password, old.kind, "password")
            now = self._clock()
            new = Credential(
                new_id(now), old.merchant_id, old.client_id, old.kind, old.login,
                terms["expire_time"], None, now,
            )  # fmt: skip
            effect = access.rotate_credential(
                found.owner, found.client, old, new, found.credentials, call.principal.scopes,
                overlap_seconds=_overlap(terms["overlap_seconds"], old.kind), now=now,
            )  # fmt: skip
            secret, stored = await _secret(new.kind, given)
            return access.with_secret(effect, stored)

        facts = await self._changes.carry_out(request, call, command, plan)
        shown = None if call.replayed else secret
        now = self._clock()
        return v1.RotateCredentialResponse(
            credential=_credential_message(Credential(**facts["resource"]), now, shown),
            previous_credential=_credential_message(Credential(**facts["previous"]), now),
        )

    async def _revoke_credential(
        self, request: v1.RevokeCredentialRequest, call: Call
    ) -> v1.Credential:
        ids = setup.nested_name(request.name, setup.CREDENTIAL, "name")
        _reach_credential(call, ids)
        command = setup.administer("credential", "revoke", request.name, {})

        async def plan() -> Effect:
            found, credential = await self._bridge.read(
                lambda connection: _credential(connection, ids), call.caller.merchant_id
            )
            _require_own_store(call, found.client.location_code)
            return access.revoke_credential(
                found.owner, credential, found.client, call.principal.scopes, self._clock()
            )

        facts = await self._changes.carry_out(request, call, command, plan)
        return _credential_message(Credential(**facts["resource"]), self._clock())

    async def _list_credentials(
        self, request: v1.ListCredentialsRequest, call: Call
    ) -> v1.ListCredentialsResponse:
        merchant_id, client_id = setup.nested_name(request.parent, setup.CLIENT, "parent")
        size = fields.page_size(request.page_size)
        after = self._pages.read(request, call)
        _reach_client(call, merchant_id, client_id)

        holder = await self._bridge.read(
            lambda connection: _holder(connection, merchant_id, client_id), call.caller.merchant_id
        )
        found = [each for each in holder.credentials if after is None or each.id < after]
        now = self._clock()
        return v1.ListCredentialsResponse(
            credentials=[_credential_message(each, now) for each in found[:size]],
            next_page_token=self._pages.next(request, call, [c.id for c in found], size),
        )


def _credential_terms(wanted: v1.Credential) -> dict[str, Any]:
    kind = wanted.kind
    if kind not in (access.TOKEN, access.PASSWORD):
        raise InvalidField("credential.kind", "Must be TOKEN or PASSWORD.")
    if kind == access.TOKEN and wanted.login:
        raise InvalidField("credential.login", "Is for a PASSWORD only.")
    if kind == access.PASSWORD and not _LOGIN.fullmatch(wanted.login):
        raise InvalidField(
            "credential.login",
            "Must be 1 to 128 printable ASCII characters without spaces and colons.",
        )
    return {
        "kind": int(kind),
        "login": wanted.login,
        "expire_time": fields.optional_instant(
            wanted.expire_time, wanted.HasField("expire_time"), "credential.expire_time"
        ),
    }


async def _secret(kind: int, given: Secret | None) -> tuple[Secret, StoredSecret]:
    """The secret to show once, made now unless it was given, and the form it is kept in."""
    if kind == access.TOKEN:
        token = new_token()
        return Secret(token), StoredSecret(token_hash=token_hash(token))
    secret = given or Secret(secrets.token_urlsafe(_PASSWORD_RANDOM_BYTES))
    # Argon2id takes milliseconds on purpose: not on the event loop.
    hashed = await asyncio.to_thread(hash_password, secret.reveal())
    return secret, StoredSecret(password_hash=hashed)


def _overlap(seconds: int | None, kind: int) -> int:
    """A login has one password at a time, so there an overlap cannot be promised."""
    if kind == access.TOKEN:
        return OVERLAP_SECONDS_DEFAULT if seconds is None else seconds
    if seconds:
        raise InvalidField(
            "overlap", "Must be absent or zero for a PASSWORD: a login has one at a time."
        )
    return 0


# What a caller may reach


def _may_reach(call: Call, merchant_id: str) -> bool:
    return merchant_id == call.caller.merchant_id or access.PLATFORM in call.principal.scopes


def _no_merchant(merchant_id: str) -> Rejected:
    return Rejected("MERCHANT_NOT_FOUND", merchant=f"merchants/{merchant_id}")


def _no_client(merchant_id: str, client_id: str) -> Rejected:
    return Rejected("API_CLIENT_NOT_FOUND", api_client=_client_name(merchant_id, client_id))


def _reach_merchant(call: Call, merchant_id: str) -> None:
    if not _may_reach(call, merchant_id):
        raise _no_merchant(merchant_id)


def _reach_client(call: Call, merchant_id: str, client_id: str) -> None:
    if not _may_reach(call, merchant_id):
        raise _no_client(merchant_id, client_id)


def _reach_credential(call: Call, ids: tuple[str, ...]) -> None:
    if not _may_reach(call, ids[0]):
        raise Rejected("CREDENTIAL_NOT_FOUND")


def _require_own_store(call: Call, location_code: str) -> None:
    """Who is bound to a location administers the clients of that one only: nobody gives a reach
    that they do not have."""
    bound = call.principal.location_code
    if bound and location_code != bound:
        raise Rejected("LOCATION_FORBIDDEN", location=f"locations/{bound}")


def _existing_owner(connection: Any, merchant_id: str) -> Owner:
    found = setup_queries.owner(connection, merchant_id)
    if found is None:
        raise _no_merchant(merchant_id)
    return found


def _holder(connection: Any, merchant_id: str, client_id: str) -> _Holder:
    owner = setup_queries.owner(connection, merchant_id)
    client = None if owner is None else setup_queries.client(connection, owner, client_id)
    if owner is None or client is None:
        raise _no_client(merchant_id, client_id)
    return _Holder(owner, client, setup_queries.credentials(connection, owner, client_id))


def _credential(connection: Any, ids: tuple[str, ...]) -> tuple[_Holder, Credential]:
    merchant_id, client_id, credential_id = ids
    try:
        holder = _holder(connection, merchant_id, client_id)
    except Rejected as error:
        raise Rejected("CREDENTIAL_NOT_FOUND") from error
    for credential in holder.credentials:
        if credential.id == credential_id:
            return holder, credential
    raise Rejected("CREDENTIAL_NOT_FOUND")


def _require_location(connection: Any, owner: Owner, terms: dict[str, Any]) -> None:
    code = terms.get("location_code")
    if code and setup_queries.location(connection, owner, code) is None:
        raise Rejected("LOCATION_NOT_FOUND", location=f"locations/{code}")


def _client_answer(facts: dict[str, Any]) -> v1.ApiClient:
    raw = facts["resource"]
    return _client_message(Client(**{**raw, "scopes": tuple(raw["scopes"])}))
