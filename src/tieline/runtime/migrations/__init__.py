"""Migrations: dated by their number, forward only, one transaction each."""
