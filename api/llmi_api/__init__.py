"""What both the operator and the server know: resource types, names, launch settings, failure codes.

Needs Pydantic and nothing else. Nothing here reads a file, a clock or the environment.
"""
