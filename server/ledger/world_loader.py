"""Loads what a batch refers to: earlier transactions, cards under lock, holds, programs."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from server.domain.commands import (
    CaptureHold,
    CreateCustomer,
    Envelope,
    NewCard,
    RefundGiftCard,
    ReleaseCodes,
    ReserveCodes,
    ReverseTransaction,
    VoidHold,
)
from server.domain.model import POINTS_PROGRAM, Kind, Program
from server.domain.record import Record
from server.domain.world import World
from server.ledger.intake import Request, request_key
from server.storage import loading
from server.storage.database import Connection


@dataclass(slots=True)
class _Wanted:
    """What the commands of a batch refer to."""

    cells: set[int] = field(default_factory=set)
    card_ids: set[str] = field(default_factory=set)
    hashes: set[str] = field(default_factory=set)
    codes: set[str] = field(default_factory=set)
    reservations: set[str] = field(default_factory=set)
    customers: set[tuple[str, int, str]] = field(default_factory=set)
    holds: set[str] = field(default_factory=set)
    programs: set[tuple[str, str]] = field(default_factory=set)


class WorldLoader:
    """Builds the world of a batch; keeps program versions, which never change."""

    def __init__(
        self,
        *,
        new_id: Callable[[int, str | None], str],
        pin_matches: Callable[[str, str, str], bool],
    ) -> None:
        self._new_id = new_id
        self._pin_matches = pin_matches
        self._programs: dict[tuple[str, int], Program] = {
            (POINTS_PROGRAM.id, POINTS_PROGRAM.version): POINTS_PROGRAM
        }

    def load(self, connection: Connection, requests: Sequence[Request]) -> World:
        world = World(request_key=request_key, pin_matches=self._pin_matches, new_id=self._new_id)
        wanted = _Wanted(cells={request.envelope.caller.cell for request in requests})
        cells = sorted(wanted.cells)
        targets = self._load_records(connection, world, requests, cells)
        fresh = [r for r in requests if r.key not in world.records]
        for request in fresh:
            _collect(request.envelope, wanted)
            world.aliases.update(request.envelope.aliases)
        for record in targets:
            wanted.card_ids.update(entry.card_id for entry in record.entries)
            if record.kind is Kind.AUTHORIZE and record.hold_id:
                wanted.holds.add(record.hold_id)
            elif record.kind is Kind.RESERVE_CODES:
                wanted.reservations.add(record.id)
        self._load_codes(connection, world, wanted, cells)
        self._load_cards(connection, world, wanted, cells)
        self._load_followers(connection, world, targets, cells)
        self._load_programs(connection, world, wanted, cells)
        return world

    def _load_records(
        self,
        connection: Connection,
        world: World,
        requests: Sequence[Request],
        cells: Sequence[int],
    ) -> list[Record]:
        """Loads earlier transactions by request; returns those that a command refers to."""
        keys = {request.key for request in requests}
        target_keys: set[bytes] = set()
        target_ids: set[str] = set()
        for request in requests:
            command = request.envelope.command
            if isinstance(command, (RefundGiftCard, ReverseTransaction)):
                if command.target.request_id:
                    caller = request.envelope.caller
                    target_keys.add(request_key(caller, command.target.request_id))
                else:
                    target_ids.add(command.target.id)
            elif isinstance(command, ReleaseCodes) and command.reservation_id:
                target_ids.add(command.reservation_id)
        found = loading.load_records(connection, "request_key", list(keys | target_keys), cells)
        if target_ids:
            found += loading.load_records(connection, "id", sorted(target_ids), cells)
        targets = [r for r in found if r.request_key in target_keys or r.id in target_ids]
        loading.attach_details(connection, targets, cells)
        for record in found:
            world.records[record.request_key] = record
            world.records_by_id[record.id] = record
        return targets

    def _load_codes(
        self, connection: Connection, world: World, wanted: _Wanted, cells: Sequence[int]
    ) -> None:
        """Locks the codes that may be taken or given up: first of all, and in one order."""
        hashes = wanted.codes | loading.codes_of_reservations(
            connection, sorted(wanted.reservations), cells
        )
        for code in loading.load_codes(connection, sorted(hashes), cells):
            world.codes[code.code_hash] = code
            if code.card_id is not None:
                world.card_by_code[code.code_hash] = code.card_id

    def _load_cards(
        self, connection: Connection, world: World, wanted: _Wanted, cells: Sequence[int]
    ) -> None:
        named = loading.card_ids_of_codes(connection, sorted(wanted.hashes), cells)
        world.card_by_code.update(named)
        ids = wanted.card_ids | set(named.values())
        if wanted.customers:
            world.wallets = loading.wallet_ids(connection, wanted.customers, cells)
            ids |= set(world.wallets.values())
        # Where a hold belongs never changes, so that may be read before the card is locked;
        # what became of the hold may not.
        hold_ids = sorted(wanted.holds)
        ids |= {hold.card_id for hold in loading.load_holds(connection, hold_ids, cells)}
        world.cards = loading.load_cards(connection, sorted(ids), cells, lock=True)
        for card in world.cards.values():
            for hold in card.holds:
                world.holds[hold.id] = hold
        ended = [hold_id for hold_id in hold_ids if hold_id not in world.holds]
        for hold in loading.load_holds(connection, ended, cells):
            world.holds[hold.id] = hold

    def _load_followers(
        self,
        connection: Connection,
        world: World,
        targets: Sequence[Record],
        cells: Sequence[int],
    ) -> None:
        """Refunds and reversals of the targets, and reversals of those refunds."""
        ids = [record.id for record in targets]
        ids += [record.target_id for record in targets if record.target_id is not None]
        for _ in range(2):
            followers = loading.load_records(connection, "target_id", ids, cells)
            loading.attach_details(connection, followers, cells)
            for follower in followers:
                world.followers.setdefault(follower.target_id or "", []).append(follower)
            ids = [follower.id for follower in followers]

    def _load_programs(
        self, connection: Connection, world: World, wanted: _Wanted, cells: Sequence[int]
    ) -> None:
        latest = loading.latest_versions(connection, sorted(wanted.programs), cells)
        needed = {(card.program_id, card.program_version) for card in world.cards.values()}
        needed.update(latest.values())
        missing = sorted(needed - self._programs.keys())
        self._programs.update(loading.load_programs(connection, missing, cells))
        world.program_versions = self._programs
        world.programs = {name: self._programs[version] for name, version in latest.items()}


def _collect(envelope: Envelope, wanted: _Wanted) -> None:
    command = envelope.command
    for ref in command.cards():
        if ref.id:
            wanted.card_ids.add(ref.id)
        else:
            wanted.hashes.add(ref.code_hash)
            wanted.hashes.update(envelope.aliases.get(ref.code_hash, ()))
    for customer in command.customers():
        _collect_customer(envelope, wanted, customer)
    if isinstance(command, (CaptureHold, VoidHold)):
        wanted.holds.add(command.hold_id)
    elif isinstance(command, NewCard):
        wanted.programs.add((envelope.caller.merchant_id, command.program))
        if envelope.material is not None:
            wanted.codes.add(envelope.material.code_hash.hex())
        if command.code_hash:
            _collect_codes(envelope, wanted, command.code_hash)
    elif isinstance(command, CreateCustomer):
        _collect_customer(envelope, wanted, command.new_customer)
    elif isinstance(command, ReserveCodes):
        if command.program:
            wanted.programs.add((envelope.caller.merchant_id, command.program))
        wanted.codes.update(material.code_hash.hex() for material in envelope.reserved)
    elif isinstance(command, ReleaseCodes):
        _collect_codes(envelope, wanted, *command.code_hashes)


def _collect_customer(envelope: Envelope, wanted: _Wanted, customer: str) -> None:
    wanted.customers.add((envelope.caller.merchant_id, int(envelope.caller.book), customer))


def _collect_codes(envelope: Envelope, wanted: _Wanted, *code_hashes: str) -> None:
    for code_hash in code_hashes:
        wanted.codes.add(code_hash)
        wanted.codes.update(envelope.aliases.get(code_hash, ()))
