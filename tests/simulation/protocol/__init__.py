"""The simulation of the commit protocol: the real hosts on a simulated log, in virtual time, from one seed."""
