"""What a server answers, one module for each part of it."""
