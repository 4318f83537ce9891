"""Baseline A, the obvious program: a synchronous FastAPI endpoint around a Transformers pipeline, all on defaults.

``python bench/naive_server.py TASK FOLDER PORT [ADDRESS]``; the task is text-classification or feature-extraction.
"""

import sys
from typing import Any

import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel
from transformers import pipeline


class Question(BaseModel):
    """What is asked."""

    text: str


def make_app(task: str, folder: str) -> FastAPI:
    """Return the program."""
    app = FastAPI()
    load: Any = pipeline
    model = load(task, model=folder)

    @app.get("/health")
    def health() -> str:
        return "ok"

    @app.post("/predict")
    def predict(question: Question) -> Any:  # noqa: ANN401 - whatever the pipeline gives
        if task == "feature-extraction":
            return model(question.text, return_tensors=True)[0].numpy().mean(axis=0).tolist()
        return model(question.text, top_k=None)

    return app


if __name__ == "__main__":
    address = sys.argv[4] if len(sys.argv) > 4 else "127.0.0.1"  # noqa: PLR2004 - the last argument, if it is there
    uvicorn.run(make_app(sys.argv[1], sys.argv[2]), host=address, port=int(sys.argv[3]), log_level="warning")
