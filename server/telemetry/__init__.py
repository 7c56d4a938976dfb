"""What a process tells of itself while it runs: metrics, traces, and the pages that show them.

Knows nothing of what is asked of the server: others count and time, and hand in names of ours.
"""
