"""Pure rules of the gift card platform: no I/O, no clock, no SQL, no protobuf.

Whatever a rule needs to know (the time, the state, randomness) comes in as an argument.
"""
