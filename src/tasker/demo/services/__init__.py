"""Services: the four systems of the demo, each a process of its own with HTTP, a store, and bad days.

Nothing here knows Tasker: to the demo's tasks these are other people's systems.
`python -m tasker.demo.services shop --port 0 --store shop.db` starts one and prints its port.
"""
