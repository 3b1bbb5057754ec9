"""Calls over one flow as a state machine: records and time in, events and records out.

Knows records, calls, deadlines. Does not know event loops, clocks, sockets, codecs or services.
"""
