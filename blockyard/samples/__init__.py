"""Writers of small data sets, from real material in ordinary packages, in the published layouts."""
