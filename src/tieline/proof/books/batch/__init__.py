"""Books that take documents whole and show them by their number; a line is countered, and never gone."""
