"""Ways to falsify the books of `books`, and the table that `verify` must name first.

Each case is a line `table: name`, then its statements, wrapped where they are long.  <card x>,
<hold x>, <commit x> and <transaction x> stand for what the request x made.
"""

import re
from typing import Final

_CASES: Final = """
account: balance
  UPDATE account SET balance = balance + 1 WHERE card_id = <card issue-f>
account: negative balance
  UPDATE account SET balance = balance - 100, held = 0 WHERE card_id = <card issue-b>
account: held
  UPDATE account SET held = held + 1 WHERE card_id = <card issue-a>
account: account's unit
  UPDATE account SET unit = 'EUR' WHERE card_id = <card issue-a>
account: account deleted
  DELETE FROM account WHERE card_id = <card issue-a>
posting: posting deleted
  DELETE FROM posting WHERE transaction_id = <transaction redeem-a>
posting: one line deleted
  DELETE FROM posting WHERE transaction_id = <transaction redeem-many> AND line = 1
posting: receivable deleted
  DELETE FROM posting WHERE transaction_id = <transaction reverse-spent> AND account_id IS NOT
      NULL
posting: amount
  UPDATE posting SET amount = amount + 1 WHERE transaction_id = <transaction redeem-a>
posting: sides swapped
  UPDATE posting SET debit = credit, credit = debit WHERE transaction_id =
      <transaction redeem-a>
posting: system account
  UPDATE posting SET credit = 'pocket' WHERE transaction_id = <transaction redeem-a>
posting: posting's unit
  UPDATE posting SET unit = 'EUR' WHERE transaction_id = <transaction redeem-a>
posting: posting's book
  UPDATE posting SET book = 2 WHERE transaction_id = <transaction redeem-a>
posting: posting's program
  UPDATE posting SET program_id = 'x' WHERE transaction_id = <transaction redeem-a>
posting: posting's movement
  UPDATE posting SET movement = 99 WHERE transaction_id = <transaction redeem-a>
posting: posting invented
  INSERT INTO posting (transaction_id, line, cell, merchant_id, book, debit, credit, amount,
      unit, movement, card_id, account_id, program_id, business_date) SELECT '0', line, cell,
      merchant_id, book, debit, credit, amount, unit, movement, card_id, account_id, program_id,
      business_date FROM posting WHERE transaction_id = <transaction redeem-a>
posting: last posting orphaned
  UPDATE posting SET transaction_id = 'z' WHERE transaction_id = (SELECT max(transaction_id)
      FROM posting)
ledger_transaction: clearing account
  UPDATE posting SET credit = 'clearing/elsewhere' WHERE transaction_id =
      <transaction redeem-a>
ledger_transaction: balance after
  UPDATE posting SET balance_after = balance_after + 1 WHERE transaction_id =
      <transaction redeem-a>
ledger_transaction: command
  UPDATE ledger_transaction SET command = replace(command, '1500', '1501') WHERE request_id =
      'redeem-a'
ledger_transaction: result
  UPDATE ledger_transaction SET result = replace(result, '"GC"', '"GD"') WHERE request_id =
      'redeem-a'
ledger_transaction: result unreadable
  UPDATE ledger_transaction SET result = '{' WHERE request_id = 'redeem-a'
ledger_transaction: approved
  UPDATE ledger_transaction SET approved = 1 WHERE request_id = 'redeem-a'
ledger_transaction: request id
  UPDATE ledger_transaction SET request_id = 'other' WHERE request_id = 'redeem-a'
ledger_transaction: client
  UPDATE ledger_transaction SET client_id = 'other' WHERE request_id = 'redeem-a'
ledger_transaction: kind unknown
  UPDATE ledger_transaction SET kind = 77 WHERE request_id = 'redeem-a'
ledger_transaction: refusal deleted
  DELETE FROM ledger_transaction WHERE request_id = 'redeem-too-much'
ledger_transaction: refusal in a batch deleted
  DELETE FROM ledger_transaction WHERE request_id = 't-redeem-too-much'
posting: approval deleted
  DELETE FROM ledger_transaction WHERE request_id = 'redeem-a'
ledger_commit: refusal's result
  UPDATE ledger_transaction SET refusal_metadata = '{}' WHERE request_id = 'redeem-too-much'
ledger_commit: order in a batch
  UPDATE ledger_transaction SET ordinal = ordinal + 100 WHERE commit_id = <commit t-redeem-a>
      AND ordinal < 2
  UPDATE ledger_transaction SET ordinal = 101 - ordinal WHERE commit_id = <commit t-redeem-a>
      AND ordinal > 99
ledger_transaction: moved to another commit
  UPDATE ledger_transaction SET commit_id = <commit issue-b> WHERE request_id = 'redeem-a'
entry: entries swapped
  UPDATE entry SET sequence = sequence + 100 WHERE card_id = <card issue-a> AND sequence IN
      (2, 3)
  UPDATE entry SET sequence = 105 - sequence WHERE card_id = <card issue-a> AND sequence > 100
entry: entry's balance
  UPDATE entry SET balance_after = balance_after + 1 WHERE transaction_id =
      <transaction redeem-a>
entry: entry's state
  UPDATE entry SET card_state = 3 WHERE transaction_id = <transaction redeem-a>
entry: entry's hash
  UPDATE entry SET hash = '00' WHERE transaction_id = <transaction redeem-a>
entry: entry's link
  UPDATE entry SET previous = '00' WHERE transaction_id = <transaction redeem-a>
entry: entry deleted
  DELETE FROM entry WHERE transaction_id = <transaction redeem-a>
entry: last entry deleted
  DELETE FROM entry WHERE transaction_id = <transaction hold-forgotten>
entry: entry of nobody
  UPDATE entry SET card_id = 'z' WHERE transaction_id = <transaction hold-forgotten>
entry: card without entries
  INSERT INTO card (id, cell, merchant_id, book, program_id, program_version, program_code,
      unit, state, time_zone, initial_amount, reload_allowed, return_allowed,
      partial_redeem_allowed, pin_tries, labels, sequence, head, create_time, update_time)
      SELECT 'z', cell, merchant_id, book, program_id, program_version, program_code, unit, 1,
      time_zone, 0, 1, 1, 1, '{}', '{}', 0, '', 1, 1 FROM card WHERE id = <card issue-a>
card: card's state
  UPDATE card SET state = 3 WHERE id = <card issue-a>
card: card's sequence
  UPDATE card SET sequence = sequence + 1 WHERE id = <card issue-a>
card: card's head
  UPDATE card SET head = '00' WHERE id = <card issue-a>
account: card deleted
  DELETE FROM card WHERE id = <card issue-a>
entry: last card deleted
  DELETE FROM card WHERE id = (SELECT max(id) FROM card)
hold_line: hold line
  UPDATE hold_line SET remaining = remaining - 1 WHERE hold_id = <hold hold-open>
hold_line: line of an ended hold
  UPDATE hold_line SET remaining = 1 WHERE hold_id = <hold hold-void>
hold: captured
  UPDATE hold SET captured = captured + 1 WHERE id = <hold hold-part>
hold: captured before the end
  UPDATE hold SET captured = captured - 1 WHERE id = <hold hold-final>
hold: authorized
  UPDATE hold SET authorized = authorized + 1 WHERE id = <hold hold-open>
hold: hold reopened
  UPDATE hold SET state = 1, end_time = NULL WHERE id = <hold hold-void>
hold: hold ended
  UPDATE hold SET state = 3, end_time = 1 WHERE id = <hold hold-open>
hold: hold deleted
  DELETE FROM hold WHERE id = <hold hold-void>
hold: hold invented
  INSERT INTO hold (id, card_id, cell, merchant_id, book, client_id, transaction_id, state,
      requested, authorized, captured, exclusive, expire_time, create_time, end_time) SELECT 'z',
      card_id, cell, merchant_id, book, client_id, transaction_id, 3, 1, 1, 0, 0, 1, 1, 1 FROM
      hold WHERE id = <hold hold-open>
account: points
  UPDATE account SET balance = balance + 1 WHERE card_id = <card earn-y>
posting: points in another unit
  UPDATE posting SET unit = 'USD' WHERE transaction_id = <transaction issue-n> AND unit = 'POINTS'
posting: points of a purchase deleted
  DELETE FROM posting WHERE transaction_id = <transaction issue-n> AND unit = 'POINTS'
posting: points of a purchase changed
  UPDATE posting SET amount = amount - 1 WHERE transaction_id = <transaction issue-n> AND unit =
      'POINTS'
hold_line: held points
  UPDATE hold_line SET remaining = remaining - 1 WHERE hold_id = <hold hold-points>
account: customer's unit
  UPDATE card SET unit = 'USD' WHERE id = <card earn-y>
code: code deleted
  DELETE FROM code WHERE card_id = <card issue-a>
code: code of another card
  UPDATE code SET card_id = <card issue-b> WHERE card_id = <card issue-a>
code: code's end
  UPDATE code SET last_four = 'x' WHERE card_id = <card issue-a>
code: reserved code deleted
  DELETE FROM code WHERE reservation_id = <transaction reserve> AND state = 2 AND line = 3
code: reserved code exchanged
  UPDATE code SET line = line + 10 WHERE reservation_id = <transaction reserve> AND line > 2
  UPDATE code SET line = 17 - line WHERE reservation_id = <transaction reserve> AND line > 2
code: reserved code's end
  UPDATE code SET expire_time = 1 WHERE reservation_id = <transaction reserve> AND line = 3
code: reserved code of nobody
  UPDATE code SET reservation_id = 'z' WHERE reservation_id = <transaction reserve-shortly>
code: reserved code invented
  UPDATE code SET reservation_id = 'z', line = 1 WHERE card_id = <card issue-a>
ledger_commit: last commit cut
  DELETE FROM ledger_commit WHERE id = (SELECT max(id) FROM ledger_commit)
ledger_commit: commit's hash
  UPDATE ledger_commit SET hash = '00' WHERE id = <commit redeem-a>
ledger_commit: commit's last transaction
  UPDATE ledger_commit SET last_transaction_id = 'x' WHERE id = <commit redeem-a>
ledger_commit: commit's time
  UPDATE ledger_commit SET commit_time = commit_time + 1 WHERE id = <commit redeem-a>
ledger_commit: commit's place
  UPDATE ledger_commit SET first_sequence = first_sequence + 1 WHERE id = (SELECT max(id) FROM
      ledger_commit WHERE book = 1)
ledger_transaction: commit's count
  UPDATE ledger_commit SET count = 2 WHERE id = <commit redeem-a>
ledger_commit: commit renamed
  UPDATE ledger_commit SET id = '0' WHERE id = <commit redeem-a>
feed_head: head
  UPDATE feed_head SET head = head + 1 WHERE book = 1
feed_head: head's hash
  UPDATE feed_head SET hash = '00' WHERE book = 2
feed_head: head deleted
  DELETE FROM feed_head WHERE book = 2
"""

_MADE_BY: Final = {
    "card": "(SELECT card_id FROM ledger_transaction WHERE request_id = '{}')",
    "hold": "(SELECT hold_id FROM ledger_transaction WHERE request_id = '{}' AND kind = 8)",
    "commit": "(SELECT commit_id FROM ledger_transaction WHERE request_id = '{}')",
    "transaction": "(SELECT id FROM ledger_transaction WHERE request_id = '{}')",
}


def statement(text: str) -> str:
    """The SQL with what was made by a request in place of its <sign>."""
    return re.sub(r"<(\w+) ([^>]+)>", lambda sign: _MADE_BY[sign[1]].format(sign[2]), text)


def _cases() -> dict[str, tuple[str, list[str]]]:
    cases: dict[str, tuple[str, list[str]]] = {}
    statements: list[str] = []
    for line in _CASES.strip().splitlines():
        if not line.startswith(" "):
            table, _, name = line.partition(": ")
            statements = []
            cases[name] = (table, statements)
        elif line.startswith("   "):
            statements[-1] += " " + line.strip()
        else:
            statements.append(line.strip())
    return {
        name: (table, [statement(text) for text in texts]) for name, (table, texts) in cases.items()
    }


#: Name -> (the table that the first problem names, what is done behind the product's back).
CORRUPTIONS: Final = _cases()
