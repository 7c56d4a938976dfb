"""A naive model of the ledger, and a state machine that compares the product with it."""
