"""What one request carries through the cascade.

- `context`    the request, parsed and checked: what every step reads
- `itinerary`  which agents it may still visit
- `deadline`   the seconds that are left
"""
