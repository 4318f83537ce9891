#!/bin/sh
# Puts policy, pipeline and template into Elasticsearch, and the data view with its search into Kibana; again is fine.
# ELASTICSEARCH_URL and KIBANA_URL say where; ELASTIC_PASSWORD and CA_FILE where there are such.
set -eu
cd "$(dirname "$0")"
ask() {
  curl --silent --show-error --fail-with-body ${CA_FILE:+--cacert "$CA_FILE"} \
    ${ELASTIC_PASSWORD:+--user "elastic:$ELASTIC_PASSWORD"} "$@"
}
until ask "$ELASTICSEARCH_URL/_cluster/health?wait_for_status=yellow&timeout=10s"; do sleep 3; done
ask -X PUT "$ELASTICSEARCH_URL/_ilm/policy/llminference-logs" -H 'Content-Type: application/json' --data-binary @policy.json
ask -X PUT "$ELASTICSEARCH_URL/_ingest/pipeline/llminference-logs" -H 'Content-Type: application/yaml' \
  --data-binary @pipeline.yaml
ask -X PUT "$ELASTICSEARCH_URL/_index_template/llminference-logs" -H 'Content-Type: application/json' \
  --data-binary @template.json
until ask "$KIBANA_URL/api/status"; do sleep 3; done
ask -X POST "$KIBANA_URL/api/saved_objects/_import?overwrite=true" -H 'kbn-xsrf: true' --form file=@kibana.ndjson
echo "Ready: logs-llminference-*, and its data view in Kibana."
