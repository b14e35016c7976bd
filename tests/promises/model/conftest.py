"""Write scenes as the owner."""

from tests.rooms.posting.conftest import owner_database

__all__ = ["owner_database"]
