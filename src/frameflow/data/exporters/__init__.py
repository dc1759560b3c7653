"""Manifests in the forms of other programs, written without those programs."""
