"""disrouter."""
