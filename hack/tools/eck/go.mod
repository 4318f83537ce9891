// Nothing is compiled of this module: the types Elasticsearch and Kibana are read from it, checked against go.sum.
module llminference.local/eck

go 1.21

require github.com/elastic/cloud-on-k8s/v3 v3.4.0
