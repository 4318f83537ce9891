"""Encoders of our own: padding-free, on packed weights, without Transformers.

For the shapes of BERT, RoBERTa, XLM-R, DistilBERT, MPNet and ModernBERT. A model that differs in any way is left to
Transformers, whose answers these equal.
"""
