"""Set-up, demo, tests, parity, bench, train and convert: the work behind dev.py."""
