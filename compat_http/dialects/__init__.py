"""One module or package for each legacy API; none knows another."""
