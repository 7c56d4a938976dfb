"""The ledger's state machine, spoken through each dialect for the operations that it has."""
