"""Speed, measured against yardsticks that run beside the product on the same machine."""
