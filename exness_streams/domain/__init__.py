"""The pure core: what an account is and how a record of the journal changes it.

No clock, randomness, environment, I/O, float or Faust in here (tests/unit/test_tidy.py keeps it so): the
same records give the same rows, events and state hash on every machine, for ever.
"""
