"""The words everything else is made of.

In: values. Out: money, durations, half-open periods, keys, a Clock protocol, errors by what to do.
Law: standard library only, no clock, no I/O, no float near money or time.
"""
