"""Random lives of gift cards: every operation, crashes, lost answers, replays and odd clocks.

Each step asks the subject and the model the same and compares the answers; after each step every
card must show what the model says, and the books must add up.
"""

from dataclasses import replace
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, rule

from tests import operations as o
from tests.model.driver import Driver
from tests.operations import DAY, Operation, Request

PROGRAMS = ("GC", "CASH", "GC", "MAX", "RANGE", "CHOICE", "WHOLE", "DYN", "SHORT", "EURO", "LOYAL")
PICK = st.integers(0, 39)
CLIENT = st.sampled_from(("till", "till", "web", "office"))
#: Plain sums, and (as text) sums relative to what is available: where off-by-one errors live.
AMOUNT = st.one_of(st.integers(1, 60), st.sampled_from((25, 50, "-1", "+0", "+0", "+1")))
UNIT = st.sampled_from(("USD",) * 9 + ("EUR",))
ORIGIN = st.sampled_from(("PAID", "PAID", "PROMO", "IMPORT"))
DAYS = st.sampled_from((None, None, 0, 1, 2, 30))
PIN_TYPED = st.sampled_from(("right",) * 7 + ("none", "wrong", "wrong"))
MOSTLY_NOT = st.sampled_from((False, False, False, True))
LIVE = st.sampled_from((True,) * 9 + (False,))


class LedgerMachine(Driver):
    """The rules: what may happen next, and what is true whatever happened."""

    # Cards

    @initialize(with_pin=st.booleans())
    def two_cards_and_a_customer(self, with_pin: bool) -> None:
        self.ask(o.NewCustomer("customer-0"))
        self.ask(o.Earn("customer-0", 40))
        self.ask(o.Issue(self.new_card(False, 0), 100, "CASH", pin="1234" if with_pin else None))
        self.ask(o.Issue(self.new_card(False, 0), 50, "GC"))

    @rule(pick=PICK, again=MOSTLY_NOT, program=st.sampled_from((*PROGRAMS, "GONE", "NONE")),
          live=LIVE)  # fmt: skip
    def create(self, pick: int, again: bool, program: str, live: bool) -> None:
        self.ask(o.Create(self.new_card(again, pick), program), live=live)

    @rule(pick=PICK, again=MOSTLY_NOT, program=st.sampled_from(PROGRAMS), live=LIVE,
          amount=st.sampled_from((5, 25, 40, 50, 99, 100, 101)), unit=UNIT, origin=ORIGIN,
          days=DAYS, pin=st.sampled_from((None, None, "1234")))  # fmt: skip
    def issue(self, pick: int, again: bool, program: str, live: bool, amount: int, unit: str,
              origin: str, days: int | None, pin: str | None) -> None:  # fmt: skip
        unit = "EUR" if program == "EURO" and unit == "USD" else unit
        card = self.new_card(again, pick)
        until = self.day(days)
        self.ask(o.Issue(card, amount, program, unit, origin, until, pin), live=live)

    @rule(count=st.integers(1, 3), seconds=st.sampled_from((None, None, 60, 3600)), client=CLIENT)
    def reserve(self, count: int, seconds: int | None, client: str) -> None:
        first = sum(len(cards) for cards in self.reserved)
        cards = tuple(f"reserved-{first + number}" for number in range(count))
        self.reserved.append(cards)
        self.ask(o.Reserve(cards, seconds), client)

    @rule(pick=PICK, amount=st.sampled_from((25, 50)), required=st.booleans(), live=LIVE)
    def issue_reserved(self, pick: int, amount: int, required: bool, live: bool) -> None:
        if not self.reserved:
            self.reserve(2, None, "till")
        handle = self.recent([card for cards in self.reserved for card in cards], pick, "")
        if handle not in self.handles:
            self.handles.append(handle)
        self.ask(o.Issue(handle, amount, reserved=required), live=live)

    @rule(pick=PICK, all_of_it=st.booleans(), client=CLIENT, live=LIVE)
    def release(self, pick: int, all_of_it: bool, client: str, live: bool) -> None:
        reserved = [each for each in self.history if isinstance(each.operation, o.Reserve)]
        of = self.recent([each.id for each in reserved], pick, "nothing")
        cards = self.recent(self.reserved, pick, ("nobody's",))
        self.ask(o.Release(of) if all_of_it else o.Release(cards=cards), client, live)

    # Customers

    @rule(pick=PICK, again=MOSTLY_NOT, live=LIVE)
    def new_customer(self, pick: int, again: bool, live: bool) -> None:
        name = self.customer(pick) if again else f"customer-{len(self.model.cards)}"
        self.ask(o.NewCustomer(name), live=live)

    @rule(pick=PICK, points=st.integers(1, 60), days=DAYS, live=LIVE)
    def earn(self, pick: int, points: int, days: int | None, live: bool) -> None:
        self.ask(o.Earn(self.customer(pick), points, self.day(days)), live=live)

    @rule(pick=PICK, points=AMOUNT, down=st.booleans())
    def adjust_points(self, pick: int, points: int | str, down: bool) -> None:
        customer = self.customer(pick)
        sum_ = self.sum(points, self.available(customer))
        self.ask(o.AdjustPoints(customer, -sum_ if down else sum_))

    @rule(pick=PICK, points=st.one_of(st.none(), AMOUNT), partial=MOSTLY_NOT, client=CLIENT,
          seconds=st.sampled_from((None, 1, 60, 3600)))  # fmt: skip
    def hold_points(self, pick: int, points: int | str | None, partial: bool, client: str,
                    seconds: int | None) -> None:  # fmt: skip
        customer = self.customer(pick)
        sum_ = None if points is None else self.sum(points, self.available(customer))
        self.ask(o.HoldPoints(customer, sum_, partial, seconds), client)

    @rule(pick=PICK, points=st.integers(1, 24), right=st.sampled_from((0, 0, 0, 1)),
          program=st.sampled_from(("LOYAL", "LOYAL", "LOYAL", "GC")), live=LIVE)  # fmt: skip
    def buy_with_points(self, pick: int, points: int, right: int, program: str, live: bool) -> None:
        amount = points * 100 // 40 + right
        customer = self.customer(pick)
        card = self.new_card(False, pick)
        self.ask(o.Issue(card, amount, program, customer=customer, points=points), live=live)

    @rule(pick=PICK, amount=st.sampled_from((25, 40, 50)), unit=UNIT, live=LIVE)
    def activate(self, pick: int, amount: int, unit: str, live: bool) -> None:
        card = self.recent(self.in_state("INACTIVE"), pick, self.card(pick))
        self.ask(o.Activate(card, amount, unit), live=live)

    @rule(pick=PICK, amount=st.integers(1, 60), unit=UNIT, origin=ORIGIN, days=DAYS, live=LIVE,
          typed=PIN_TYPED)  # fmt: skip
    def load(self, pick: int, amount: int, unit: str, origin: str, days: int | None, live: bool,
             typed: str) -> None:  # fmt: skip
        card, until = self.card(pick), self.day(days)
        pin = self.pin(card, typed)
        self.ask(o.Load(card, amount, unit, origin, until, pin), live=live)

    @rule(pick=PICK, lock=st.booleans())
    def lock_or_unlock(self, pick: int, lock: bool) -> None:
        card = self.card(pick)
        locked = self.recent(self.in_state("LOCKED"), pick, card)
        self.ask(o.Lock(card) if lock and locked == card else o.Unlock(locked))

    @rule(pick=PICK, other=PICK, live=LIVE,
          way=st.sampled_from(("REQUIRE_ZERO", "BREAKAGE", "CASH_OUT", "TRANSFER")))  # fmt: skip
    def close(self, pick: int, other: int, way: str, live: bool) -> None:
        card = self.card(pick)
        target = self.other_card(other, card) if way == "TRANSFER" else None
        self.ask(o.Close(card, way, target), live=live)

    @rule(pick=PICK, other=PICK, amount=st.one_of(st.none(), AMOUNT), close=MOSTLY_NOT, unit=UNIT,
          client=CLIENT, typed=PIN_TYPED)  # fmt: skip
    def transfer(self, pick: int, other: int, amount: int | str | None, close: bool, unit: str,
                 client: str, typed: str) -> None:  # fmt: skip
        source = self.card(pick)
        sum_ = None if amount is None else self.sum(amount, self.available(source))
        pin = self.pin(source, typed)
        self.ask(o.Transfer(source, self.other_card(other, source), sum_, close, unit, pin), client)

    @rule(pick=PICK, amount=AMOUNT, down=st.booleans(), unit=UNIT, live=LIVE)
    def adjust(self, pick: int, amount: int | str, down: bool, unit: str, live: bool) -> None:
        card = self.card(pick)
        sum_ = self.sum(amount, self.available(card))
        self.ask(o.Adjust(card, -sum_ if down else sum_, unit), live=live)

    @rule(pick=PICK, change=st.one_of(
        st.tuples(st.sampled_from(("reload_allowed", "return_allowed", "partial_redeem_allowed")),
                  st.sampled_from((True, True, False, None))),
        st.tuples(st.just("max_balance"), st.sampled_from((None, 60, 100))),
        st.tuples(st.just("valid_until"), DAYS)))  # fmt: skip
    def update(self, pick: int, change: tuple[str, Any]) -> None:
        name, value = change
        changes = {name: self.day(value) if name == "valid_until" else value}
        self.ask(o.update(self.card(pick), **changes))

    # Money

    @rule(pick=PICK, amount=AMOUNT, partial=MOSTLY_NOT, unit=UNIT, client=CLIENT, live=LIVE,
          typed=PIN_TYPED)  # fmt: skip
    def redeem(self, pick: int, amount: int | str, partial: bool, unit: str, client: str,
               live: bool, typed: str) -> None:  # fmt: skip
        card = self.card(pick)
        sum_ = self.sum(amount, self.available(card))
        pin = self.pin(card, typed)
        self.ask(o.Redeem(card, sum_, partial, unit, pin), client, live)

    @rule(picks=st.lists(PICK, min_size=1, max_size=3), amount=AMOUNT, partial=MOSTLY_NOT,
          soonest=st.booleans(), client=CLIENT, typed=PIN_TYPED)  # fmt: skip
    def redeem_many(self, picks: list[int], amount: int | str, partial: bool, soonest: bool,
                    client: str, typed: str) -> None:  # fmt: skip
        cards = tuple(self.card(pick) for pick in picks)
        if picks[0] % 4:
            cards = tuple(dict.fromkeys(cards))
        sum_ = self.sum(amount, self.available(*cards))
        pins = tuple(self.pin(card, typed) for card in cards)
        self.ask(o.RedeemMany(cards, sum_, partial, soonest, "USD", pins), client)

    @rule(pick=PICK, amount=st.sampled_from((1, 2, 7, 20, "-1", "+0", "+1")), any_kind=MOSTLY_NOT,
          client=CLIENT, unit=UNIT)  # fmt: skip
    def refund(self, pick: int, amount: int | str, any_kind: bool, client: str, unit: str) -> None:
        if not self.spent:
            self.redeem(pick, 10, True, "USD", "till", True, "right")
        ids = [request.id for request in self.history] if any_kind else self.spent
        of = self.recent(ids, pick // 8, "nothing")
        decided = [each for key, each in self.model.decided.items() if key[2] == of]
        left = sum(move.left for each in decided for move in each.moves)
        self.ask(o.Refund(of, self.sum(amount, left), unit, by_name=client != "till"), client)

    @rule(pick=PICK, amount=st.one_of(st.none(), AMOUNT), partial=MOSTLY_NOT, exclusive=MOSTLY_NOT,
          seconds=st.sampled_from((None, 1, 60, 3600)), client=CLIENT, unit=UNIT, typed=PIN_TYPED,
          live=LIVE)  # fmt: skip
    def authorize(self, pick: int, amount: int | str | None, partial: bool, exclusive: bool,
                  seconds: int | None, client: str, unit: str, typed: str,
                  live: bool) -> None:  # fmt: skip
        card = self.card(pick)
        sum_ = None if amount is None else self.sum(amount, self.available(card))
        pin = self.pin(card, typed)
        self.ask(o.Authorize(card, sum_, partial, exclusive, seconds, unit, pin), client, live)

    @rule(pick=PICK, amount=st.one_of(st.none(), AMOUNT), final=MOSTLY_NOT, unit=UNIT,
          client=CLIENT)  # fmt: skip
    def capture(
        self, pick: int, amount: int | str | None, final: bool, unit: str, client: str
    ) -> None:
        self.something_held(pick)
        opened_by = self.recent(self.holds, pick, "nothing")
        if unit == "USD" and any(
            each.id == opened_by and isinstance(each.operation, o.HoldPoints)
            for each in self.history
        ):
            unit = "POINTS"
        keeps = [each.hold.keeps() for each in self.model.decided.values() if each.hold
                 and isinstance(each.operation, (o.Authorize, o.HoldPoints))]  # fmt: skip
        sum_ = None if amount is None else self.sum(amount, self.recent(keeps, pick, 1))
        self.ask(o.Capture(opened_by, sum_, final, unit), client)

    def something_held(self, pick: int) -> None:
        if not any(card.open_holds(self.now) for card in self.model.cards.values()):
            self.authorize(pick, 10, True, False, 3600, "till", "USD", "right", True)

    @rule(pick=PICK, client=CLIENT, live=LIVE)
    def void(self, pick: int, client: str, live: bool) -> None:
        self.something_held(pick)
        self.ask(o.Void(self.recent(self.holds, pick, "nothing")), client, live)

    @rule(pick=PICK, by_name=st.booleans(), client=st.sampled_from((None,) * 6 + ("web", "office")),
          what=st.sampled_from(("all", "approved", "sales", "refunds", "codes")))  # fmt: skip
    def reverse(self, pick: int, by_name: bool, client: str | None, what: str) -> None:
        """By default the client that did it, by the id it sent."""
        targets = {
            "all": self.history,
            "approved": self.approved,
            "sales": [each for each in self.approved if each.id in self.spent],
            "refunds": [each for each in self.approved if isinstance(each.operation, o.Refund)],
            "codes": [each for each in self.approved if isinstance(each.operation, o.Reserve)],
        }[what] or self.history  # fmt: skip
        target = self.recent(targets, pick // 4, self.request(o.Reverse("nothing"), "till"))
        live = target.book == "LIVE"
        self.ask(o.Reverse(target.id, by_name), client or target.client, live)

    @rule(pick=PICK, amount=st.integers(2, 20), part=st.integers(1, 20), undo=st.booleans())
    def give_back_twice(self, pick: int, amount: int, part: int, undo: bool) -> None:
        """A refund, then the reversal of it or of its sale, then a refund of the same part."""
        card = self.card(pick)
        sale = self.request(o.Redeem(card, amount, pin=self.pin(card, "right")), "till")
        refund = self.request(o.Refund(sale.id, part), "till")
        self.send(sale)
        self.send(refund)
        self.ask(o.Reverse(refund.id if undo else sale.id))
        self.ask(o.Refund(sale.id, part))

    # Doubt

    @rule(pick=PICK, amount=st.integers(1, 60), client=CLIENT, reversals=st.integers(1, 2))
    def reverse_what_arrives_late(
        self, pick: int, amount: int, client: str, reversals: int
    ) -> None:
        late = self.request(o.Redeem(self.card(pick), amount), client)
        for _ in range(reversals):
            self.ask(o.Reverse(late.id), client)
        assert self.send(late).reason == "REVERSED_BEFORE_ARRIVAL"

    @rule(pick=PICK, client=CLIENT)
    def look_up(self, pick: int, client: str) -> None:
        nothing = self.request(o.Lock("nobody's"), client)
        asked = self.recent(self.history, pick, nothing)
        self.send(Request(o.Lookup(), asked.id, asked.client, asked.book))

    @rule(pick=PICK, amount=st.integers(1, 60), seal=st.booleans())
    def look_up_what_arrives_late(self, pick: int, amount: int, seal: bool) -> None:
        late = self.request(o.Redeem(self.card(pick), amount), "till")
        self.send(Request(o.Lookup(seal), late.id, late.client))
        assert (self.send(late).reason == "REQUEST_SEALED") == seal

    @rule(pick=st.integers(0, 50))
    def replay(self, pick: int) -> None:
        if self.history:
            outcome = self.send(self.recent(self.history, pick, self.history[0]))
            assert outcome.replayed

    @rule(pick=PICK, amount=st.integers(61, 70))
    def replay_with_another_meaning(self, pick: int, amount: int) -> None:
        """No operation that the other rules draw asks for an adjustment of this size."""
        if self.history:
            first = self.recent(self.history, pick, self.history[0])
            other = replace(first, operation=o.Adjust(self.card(0), amount + 1000))
            if isinstance(first.operation, (o.Redeem, o.Load)):
                changed = replace(first.operation, amount=first.operation.amount + 1)
                other = replace(first, operation=changed)
            assert self.send(other).reason == "REQUEST_ID_REUSED"

    @rule(picks=st.lists(st.tuples(PICK, st.integers(1, 40), st.integers(0, 5)), min_size=2,
                         max_size=5))  # fmt: skip
    def together(self, picks: list[tuple[int, int, int]]) -> None:
        """A batch: what one request decides, the next one sees, before anything is committed."""
        requests: list[Request] = []
        for pick, amount, kind in picks:
            card = self.card(pick)
            pin = self.pin(card, "right")
            earlier = requests[pick % len(requests)] if requests else None
            operation: Operation = o.Redeem(card, amount, pin=pin)
            if kind == 1:
                operation = o.Load(card, amount, pin=pin)
            elif kind == 2:
                operation = o.Authorize(card, amount, seconds=60, pin=pin)
            elif kind == 3 and earlier is not None:
                operation = o.Reverse(earlier.id)
            elif kind == 4 and earlier is not None:
                operation = o.Refund(earlier.id, amount)
            request = self.request(operation, "till")
            requests.append(earlier if kind == 5 and earlier is not None else request)
        expected = self.model.perform_together(requests, self.clock.now)
        answers = self.subject.perform_together(requests)
        for request, actual, awaited in zip(requests, answers, expected, strict=True):
            # What a card showed in the middle of a batch was true then; the books are compared.
            self.compare(request, replace(actual, cards={}), awaited)

    # Misfortune

    @rule(doomed=st.one_of(st.none(), st.tuples(PICK, st.integers(1, 60))))
    def crash(self, doomed: tuple[int, int] | None) -> None:
        """A kill while idle, or between deciding a redemption and committing it."""
        self.model.crash()
        if doomed is None:
            self.subject.crash()
        else:
            pick, amount = doomed
            self.subject.perform_and_die(self.request(o.Redeem(self.card(pick), amount), "till"))

    @rule(seconds=st.sampled_from((0.000001, 1, 59, 60, 61, 900, 3600, 86400, 8 * 86400)))
    def clock_goes_on(self, seconds: float) -> None:
        self.clock.advance(seconds)

    @rule(pick=PICK, before=st.sampled_from((0, 1)))
    def clock_reaches_an_end(self, pick: int, before: int) -> None:
        """To the instant at which a hold, a tranche or a card ends, or the one before it."""
        cards = self.model.cards.values()
        ends = [hold.expires for card in cards for hold in card.holds]
        ends += [tranche.expires for card in cards for tranche in card.tranches]
        ends += [card.expires for card in cards]
        ahead = [end for end in ends if self.now < end < self.now + 100 * DAY]
        self.clock.now = self.recent(ahead, pick, self.clock.now) - before

    @rule(seconds=st.sampled_from((-0.000001, -1, -60, -3600)))
    def clock_steps_back(self, seconds: float) -> None:
        self.clock.advance(seconds)

    # What is always true

    @invariant()
    def every_card_is_as_the_model_says(self) -> None:
        expected = self.model.figures(self.now)
        shown = self.subject.inspect(self.now)
        for key, card in expected.items():
            assert shown[key] == card, f"{key} shows {shown[key]}, expected {card}"
        assert shown.keys() == expected.keys()
        for card in shown.values():
            assert min(card.balance, card.held, card.available) >= 0
            assert card.balance == card.held + card.available
