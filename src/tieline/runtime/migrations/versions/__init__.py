"""The migrations, each a .py with its statements in the .sql beside it."""
