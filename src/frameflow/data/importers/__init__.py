"""Manifests of data sets in the forms they are published in, one module a form."""
