"""`make prove`: the promises of this product under faults, each suite a replayable seed."""
