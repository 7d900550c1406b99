"""The whole way of a request, in front of one real vLLM: a package, so that its engine ends with its last test."""
