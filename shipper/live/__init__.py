"""What is true in RQ's Redis now: queues, workers, cron jobs, and Redis itself. Reads only, and only bounded amounts.

No function of RQ is called that cleans up while it counts, and no payload is unpickled. The keys are those of the
installed RQ's own constants. Every function takes a connection of `connect`, or any other of redis-py's: with
`decode_responses` or without, through a Sentinel, or to a cluster.
"""
