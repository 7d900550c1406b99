"""What one request carries through the cascade.

- `context`    the parsed request, which `app.service` makes: what every step reads
- `itinerary`  which agents it may still visit
- `needs`      what it needs of an engine, such as images
- `deadline`   the seconds and the reply memory that are left
"""
