// Nothing is compiled of this module: the type ScaledObject is read from it, checked against go.sum.
module llminference.local/keda

go 1.21

require github.com/kedacore/keda/v2 v2.20.2
