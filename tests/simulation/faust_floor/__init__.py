"""The Faust floor of the simulation: whole workers, with Faust, on simulated brokers, in virtual time."""
