// The type ScaledObject is read from this module, and its operator is built for the long tests; checked against go.sum.
module llminference.local/keda

go 1.21

require github.com/kedacore/keda/v2 v2.20.2
