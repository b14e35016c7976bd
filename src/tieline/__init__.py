"""Tieline: every won deal becomes a project, every approved hour becomes money exactly once."""

__version__ = "0.1.0"
