"""How fast sessions are, as ratios to what an application would use without them.

``python -m tests.benchmarks`` prints the table, ``python -m tests.benchmarks.profile`` shows
where the time of one request goes. `test_work` counts work instead of time, with the tests.
"""
