"""``python -m frameflow``: the command line, as ``torchrun -m frameflow`` starts it."""

from frameflow.cli import main

if __name__ == "__main__":
    main()
