"""Search over settings of a recipe, seeing training and validation samples only."""
