"""Brokers: how workers are woken. The database is the truth; a lost ring costs latency only."""
