"""Pages of one file that open from disk without a network: their frame, plots and moving strips."""
