"""Policies that ask an exceedance surface."""
