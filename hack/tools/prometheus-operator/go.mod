// Nothing is compiled of this module: the type PodMonitor is read from it, checked against go.sum.
module llminference.local/prometheus-operator

go 1.21

require github.com/prometheus-operator/prometheus-operator v0.85.0
