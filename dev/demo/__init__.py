"""The demo: shipped workflows through a real host, pictures and sheets."""
