"""Books that replace the line of a reference."""
