"""Networks of one shape whose mixers are blocks."""
