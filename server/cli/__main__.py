"""`python -m server.cli` is `giftcard`, where the console script is not installed."""

from server.cli import main

main()
