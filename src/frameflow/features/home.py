"""The folder where features, engines and digests are kept between runs."""

from frameflow._places import home

__all__ = ["home"]
