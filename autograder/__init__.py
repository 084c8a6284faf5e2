"""Builds, releases, collects, checks and grades the homeworks; see docs/architecture.md."""
