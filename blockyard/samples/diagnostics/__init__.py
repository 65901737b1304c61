"""Small data sets of real material on which one ability decides; docs/diagnostics.md says which, and why."""
