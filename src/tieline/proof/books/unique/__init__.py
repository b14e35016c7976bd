"""Books that refuse a second line of a reference."""
