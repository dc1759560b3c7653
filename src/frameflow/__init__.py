"""FrameFlow: train, honestly evaluate, explain and serve action recognizers."""

__version__ = "0.1.0"
