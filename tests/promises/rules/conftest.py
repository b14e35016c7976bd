"""Write firms as the owner."""

from tests.rooms.validation.conftest import owner_database

__all__ = ["owner_database"]
