-- Ask for one call, in the order in which the row of the connection is reached.
SELECT * FROM tieline.take_leave(%(connection_key)s, %(work_class)s, %(is_repeat)s, %(reserved)s, %(holder)s,
    %(lease_seconds)s, %(probe_seconds)s, %(repeat_tenths)s, %(repeat_seconds)s, %(at)s)
