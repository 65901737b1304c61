"""The nonlocal family: affinity × filter."""
