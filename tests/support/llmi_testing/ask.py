"""Sends one request that is told on standard input; prints status and text. Runs in a pod, with httpx alone."""

import json
import sys

import httpx

if __name__ == "__main__":
    url, body, headers = json.load(sys.stdin)
    method = "GET" if body is None else "POST"
    answer = httpx.request(method, url, json=body, headers=headers, timeout=60)
    print(json.dumps([answer.status_code, answer.text]))
