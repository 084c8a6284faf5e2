"""Measurements; never run as tests. Each module's docstring has its command."""
