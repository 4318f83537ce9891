"""Bodies of requests and answers, and the strict reading of JSON."""
