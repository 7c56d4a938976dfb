"""What this product promises about money, and the tests that prove it.

One line is one promise.  Tests are named without their parameters; a promise that no test proves
says why instead.  `make prove` runs every test that is named here, and PROOF.md shows the table.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Guarantee:
    """A promise, the tests that prove it, and what they leave unproved."""

    id: str
    promise: str
    tests: tuple[str, ...] = ()
    not_proved: str = ""


GUARANTEES: Final = (
    # Effect and durability
    Guarantee(
        "G1",
        "No acknowledged operation is lost: by a killed process, by a killed database, or on one"
        " machine by a power failure.",
        (
            "tests/prove/disk/test_crash_points.py::test_killed_at_every_system_call",
            "tests/prove/disk/test_crash_points.py::test_an_answer_before_the_commit_is_found",
            "tests/prove/disk/test_postgres_crashes.py::test_killed_at_any_moment",
            "tests/prove/disk/test_power_loss.py::test_power_may_fail_at_any_moment",
            "tests/prove/disk/test_power_loss.py::test_with_less_than_full_it_is_lost",
            "tests/faults/test_kill.py::test_killed_server_loses_nothing",
            "tests/faults/test_kill.py::test_killed_postgresql_loses_nothing",
            "tests/faults/test_seeded_bugs.py::test_acknowledging_before_commit_is_found",
        ),
    ),
    Guarantee(
        "G2",
        "A request id has one effect, however often, fast and wherever it is sent; a replay is the"
        " first answer.",
        (
            "tests/faults/test_same_request.py::test_same_redemption_64_times_at_once",
            "tests/faults/test_same_request.py::test_same_redemption_at_once_at_length",
            "tests/faults/test_same_request.py::test_same_authorization_64_times_at_once",
            "tests/faults/test_two_workers.py::test_same_request_to_both",
            "tests/compat/test_retries.py::test_a_repeat_has_one_effect",
        ),
    ),
    Guarantee(
        "G3",
        "A request id that comes again with another meaning is refused and changes nothing.",
        (
            "tests/rpc/test_meaning.py::test_each_field_that_means_something_counts",
            "tests/rpc/test_meaning.py::test_the_spelling_of_a_code_is_no_meaning",
            "tests/compat/test_retries.py::test_another_request_under_its_key_is_refused",
        ),
    ),
    Guarantee(
        "G4",
        "A decision is final, a refusal to decide is not: it leaves no row and its id is free.",
        (
            "tests/model/test_ledger_machine.py::test_every_answer_is_the_models_at_length",
            "tests/rpc/test_bad_input.py::test_it_is_refused_by_name",
            "tests/faults/test_overload.py::test_excess_is_shed_and_leaves_nothing",
        ),
    ),
    Guarantee(
        "G5",
        "A request id is remembered as long as the ledger: it is a row of the ledger.",
        ("tests/faults/test_old_requests.py::test_a_request_of_400_days_ago_is_a_replay",),
    ),
    Guarantee(
        "G6",
        "Who got no answer can learn what happened, or undo it.",
        (
            "tests/compat/test_cut_answers.py::test_an_answer_of_the_service_cut_anywhere",
            "tests/compat/test_cut_answers.py::test_an_answer_to_the_till_cut_anywhere",
            "tests/compat/test_cut_mutations.py::test_an_answer_of_the_service_at_length",
            "tests/compat/test_broken_ways.py::test_every_doubt_is_ended",
            "tests/prove/network/test_lost_words.py::test_cut_between_client_and_server",
            "tests/prove/network/test_lost_words.py::test_broken_between_client_and_server",
            "tests/prove/network/test_lost_words.py::test_cut_between_server_and_database",
            "tests/faults/test_deadlines.py::test_impatient_callers",
        ),
    ),
    Guarantee(
        "G7",
        "A reversal that arrives before its original wins.",
        (
            "tests/prove/network/test_lost_words.py::test_orders_of_original_and_reversal",
            "tests/model/test_ledger_machine.py::test_every_answer_is_the_models_at_length",
            (
                "tests/storage/test_ledger.py"
                "::test_a_late_original_is_refused_as_durably_as_it_was_sealed"
            ),
        ),
    ),
    Guarantee(
        "G8",
        "A reversal is never refused for business reasons; what was spent meanwhile is owed, and no"
        " card goes below zero.",
        (
            "tests/domain/test_decisions_undo.py::test_what_cannot_be_taken_back_is_owed",
            (
                "tests/model/test_grpc_machine.py"
                "::test_every_answer_over_grpc_is_the_models_at_length"
            ),
        ),
    ),
    Guarantee(
        "G9",
        "A replayed answer is as durable as the first.",
        (
            "tests/prove/network/test_standby.py::test_a_replay_waits_for_the_standby_too",
            (
                "tests/storage/test_ledger.py"
                "::test_a_late_original_is_refused_as_durably_as_it_was_sealed"
            ),
        ),
    ),
    Guarantee(
        "G10",
        "An unknown outcome is never reported as a failure.",
        (
            "tests/faults/test_unknown_outcome.py::test_failed_commit_is_unknown_until_looked_up",
            "tests/prove/network/test_standby.py::test_a_commit_without_its_standby_is_unknown",
            "tests/storage/test_database.py::test_postgresql_commit_that_complains_is_unknown",
            "tests/compat/test_unknown_outcomes.py::test_what_was_answered_504_is_undone",
        ),
    ),
    # Money
    Guarantee(
        "G11",
        "Balance, held and available are never below zero.",
        (
            "tests/model/test_ledger_machine.py::test_every_answer_is_the_models_at_length",
            "tests/storage/test_walls.py::test_a_balance_below_zero_is_refused",
            "tests/faults/test_seeded_bugs.py::test_a_stale_balance_is_found",
        ),
    ),
    Guarantee(
        "G12",
        "The books always balance, and whoever edits them is found out.",
        (
            (
                "tests/model/test_grpc_machine.py"
                "::test_every_answer_over_grpc_is_the_models_at_length"
            ),
            "tests/storage/test_verify.py::test_a_wrong_row_is_named",
            "tests/storage/test_verify.py::test_every_column_is_judged",
        ),
    ),
    Guarantee(
        "G13",
        "What a hold keeps is spent once: captured, released and expired add up to what was held.",
        (
            "tests/faults/test_hold_races.py::test_every_hold_ends_once_at_length",
            "tests/domain/test_decisions_holds.py::test_a_hold_keeps_value_back_and_ends_once",
        ),
    ),
    Guarantee(
        "G14",
        "No sum overflows; an amount beyond what a card may hold is refused.",
        (
            "tests/rpc/test_any_field.py::test_no_field_can_hold_what_the_server_cannot_bear",
            "tests/rpc/test_bad_input.py::test_it_is_refused_by_name",
            "tests/storage/test_walls.py::test_a_value_of_another_type_is_refused",
        ),
    ),
    Guarantee(
        "G15",
        "Amounts are exact: no float, no rounding, each currency with its own decimals.",
        (
            "tests/domain/test_currency.py::test_any_text_is_read_exactly_or_refused",
            "tests/compat/test_amounts.py::test_read",
            "tests/compat/test_amounts.py::test_not_read",
            "tests/prove/stress/test_mutations.py::test_every_seeded_bug_is_found",
        ),
    ),
    Guarantee(
        "G16",
        "Training never moves real money.",
        (
            "tests/domain/test_decisions_rules.py::test_training_never_reaches_a_live_card",
            (
                "tests/model/test_grpc_machine.py"
                "::test_every_answer_over_grpc_is_the_models_at_length"
            ),
        ),
    ),
    Guarantee(
        "G17",
        "A purchase with several cards is whole or not at all, and cannot deadlock.",
        (
            "tests/domain/test_decisions_spend.py::test_one_total_over_several_cards",
            "tests/prove/stress/test_contention.py::test_baskets_of_the_same_cards_never_deadlock",
        ),
    ),
    # Time, order, consistency
    Guarantee(
        "G18",
        "A card valid until a day is valid through that day's last instant in its time zone.",
        (
            "tests/domain/test_calendar.py::test_boundaries_of_every_day_in_every_zone",
            "tests/domain/test_calendar.py::test_local_date_is_exact_around_every_offset_change",
            (
                "tests/domain/test_decisions_spend.py"
                "::test_a_card_is_valid_through_the_last_instant_of_its_day"
            ),
        ),
    ),
    Guarantee(
        "G19",
        "Clock jumps are harmless: a step back revives nothing and reorders nothing.",
        (
            "tests/prove/stress/test_clock.py::test_lives_under_any_clock",
            "tests/prove/stress/test_clock.py::test_the_server_under_a_clock_that_jumps",
        ),
    ),
    Guarantee(
        "G20",
        "Times that clients send are stored and never trusted.",
        ("tests/prove/stress/test_client_times.py::test_no_time_of_a_client_moves_anything",),
    ),
    Guarantee(
        "G21",
        "What callers see of a card has one order, that of its acknowledged operations.",
        (
            "tests/prove/network/test_histories.py::test_one_thing_at_a_time",
            "tests/prove/network/test_histories.py::test_one_thing_at_a_time_through_faults",
            "tests/prove/network/test_histories.py::test_a_bug_is_found",
            "tests/prove/network/test_histories.py::test_acknowledging_before_commit_is_found",
            "tests/prove/network/test_histories.py::test_a_missing_row_lock_is_found",
            "tests/prove/network/test_linearizability.py::test_refused",
        ),
    ),
    Guarantee(
        "G22",
        "A report is of one instant: the total stands still while value only moves.",
        (
            "tests/storage/test_database.py::test_a_reader_sees_one_instant",
            "tests/prove/network/test_bank.py::test_every_sum_is_the_same",
            "tests/prove/network/test_bank.py::test_every_sum_is_the_same_through_faults",
        ),
    ),
    Guarantee(
        "G23",
        "Failover loses nothing acknowledged; a deposed primary acknowledges nothing.",
        ("tests/prove/network/test_failover.py::test_failover_under_load",),
    ),
    # Behaviour under stress
    Guarantee(
        "G24",
        "Overload is turned away at once, most of the peak is still served, and undoing and looking"
        " up have places of their own.",
        (
            "tests/prove/stress/test_overload.py::test_five_times_what_it_can_do",
            "tests/faults/test_overload.py::test_excess_is_shed_and_leaves_nothing",
        ),
    ),
    Guarantee(
        "G25",
        "Storms of deadlines and cancellations leak no connection, lock or task.",
        (
            "tests/prove/stress/test_storms.py::test_callers_without_patience",
            "tests/faults/test_deadlines.py::test_impatient_callers",
        ),
    ),
    Guarantee(
        "G26",
        "A poisoned request crashes, hangs and blocks nothing, and its answer shows nothing of the"
        " inside.",
        (
            "tests/prove/stress/test_poison.py::test_a_defect_at_every_call_of_the_storage",
            "tests/prove/stress/test_poison.py::test_a_handler_that_is_cancelled_from_within",
            "tests/rpc/test_server.py::test_a_defect_shows_nothing_of_the_inside_and_passes",
        ),
    ),
    Guarantee(
        "G27",
        "A full or broken disk: nothing is acknowledged that is not kept, and no repair by hand.",
        (
            "tests/prove/disk/test_bad_disk.py::test_errors_of_the_disk",
            "tests/prove/disk/test_bad_disk.py::test_an_unknown_outcome_that_is_denied_is_found",
            "tests/prove/disk/test_served.py::test_sqlite_server_whose_disk_fails",
            "tests/prove/disk/test_served.py::test_postgresql_whose_disk_is_full",
        ),
    ),
    Guarantee(
        "G28",
        "A slow database: an answer or a refusal within the caller's deadline; and a merchant who"
        " asks without end keeps no other one waiting.",
        (
            "tests/prove/stress/test_slow_database.py::test_an_answer_or_a_refusal_in_time",
            "tests/prove/stress/test_neighbours.py::test_a_flood_keeps_no_other_merchant_waiting",
            "tests/storage/test_turns.py::test_whoever_comes_to_a_full_queue_finds_room",
        ),
    ),
    Guarantee(
        "G29",
        "A drain loses nothing: no call in flight fails when a server is told to end.",
        (
            "tests/faults/test_drain.py::test_drain_loses_no_call",
            "tests/cli/test_serve.py::test_calls_in_flight_are_answered_before_it_ends",
        ),
    ),
    Guarantee(
        "G30",
        "Slow, huge and malformed messages cost bounded memory and time.",
        (
            "tests/prove/stress/test_hostile_connections.py::test_slow_senders_are_let_go",
            "tests/prove/stress/test_hostile_connections.py::test_an_endless_head_is_cut_off",
            "tests/prove/stress/test_hostile_connections.py::test_garbage_costs_no_memory",
            "tests/prove/stress/test_fuzz.py::test_any_bytes",
            "tests/rpc/test_bad_input.py::test_a_message_that_is_too_large_is_told_so",
            "tests/compat/test_edge.py::test_a_body_has_a_limit",
        ),
    ),
    Guarantee(
        "G31",
        "Migrations keep the books, up and down, with data.",
        (
            "tests/storage/test_migrate.py::test_up_down_up_with_data",
            "tests/prove/disk/test_large_books.py::test_a_hundred_thousand_transactions",
            "tests/contract/test_breaking.py::test_a_change_of_the_contract",
        ),
        "There is one revision: down is to no tables, and back is by restoring a backup. No"
        " release came before this one whose code could run on its schema, or whose clients could"
        " call it; a change that would break them is refused from the first release on",
    ),
    Guarantee(
        "G32",
        "Backup, restore and recovery to a moment give an exact prefix of history.",
        (
            "tests/prove/disk/test_backup_under_load.py::test_it_is_a_prefix_of_history",
            (
                "tests/prove/disk/test_point_in_time.py"
                "::test_everything_before_the_moment_and_nothing_after"
            ),
            "tests/prove/disk/test_killed_restore.py::test_sqlite_killed_at_every_system_call",
            "tests/prove/disk/test_killed_restore.py::test_postgresql_killed_at_any_moment",
            "tests/cli/test_backup.py::test_what_is_restored_is_what_was_there",
            "tests/cli/test_backup.py::test_what_is_no_whole_backup_is_refused",
        ),
    ),
    Guarantee(
        "G33",
        "The chain of a card shows any edit, deletion, reordering or gap.",
        (
            "tests/storage/test_verify.py::test_a_wrong_row_is_named",
            "tests/storage/test_verify.py::test_the_first_wrong_row_is_named_with_its_key",
            "tests/prove/disk/test_tampering.py::test_no_change_goes_unseen",
        ),
    ),
)


def named_tests() -> frozenset[str]:
    """Every test that proves something, as path::function."""
    return frozenset(test for each in GUARANTEES for test in each.tests)


def table() -> str:
    """The same for people, in Markdown."""
    lines = ["| | Promise | Proved by |", "|---|---|---|"]
    for each in GUARANTEES:
        proofs = [f"`{test.removeprefix('tests/')}`" for test in each.tests]
        if each.not_proved:
            proofs.append(f"**not proved**: {each.not_proved}")
        lines.append(f"| {each.id} | {each.promise} | {'<br>'.join(proofs)} |")
    return "\n".join(lines)
