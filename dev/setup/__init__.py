"""The environment, the hosts and the browser that commands and tests run with."""
