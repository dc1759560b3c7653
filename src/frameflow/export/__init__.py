"""Exports: a run as files that need no PyTorch, and how fast what runs them is."""
