// Jaeger is built for the tests of traces, in its own module's folder; checked against go.sum.
module llminference.local/jaeger

go 1.21

require github.com/jaegertracing/jaeger v1.76.0
