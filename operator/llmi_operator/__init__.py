"""The operator: keeps a Deployment, a Service and an autoscaler for every LLMInference.

watch event → key in the queue → one_pass(key): parse → make_plan (pure) → apply → read → compute_status (pure) → write.
"""
