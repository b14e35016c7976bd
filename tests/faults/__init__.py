"""What is left when a process dies at any of its crash points, and what another makes of it."""
