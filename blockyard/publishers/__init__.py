"""Where the published data sets come from, and how they are fetched and checked; no torch."""
