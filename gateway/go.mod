module github.com/holdfast-gateway/holdfast/gateway

go 1.26.6

require (
	github.com/goccy/go-yaml v1.19.2
	github.com/holdfast-gateway/holdfast v0.0.0
	github.com/lmittmann/tint v1.2.1
	github.com/prometheus/client_golang v1.25.0
	github.com/rogpeppe/go-internal v1.16.0
	github.com/spf13/cobra v1.10.2
	go.uber.org/goleak v1.3.0
)

replace github.com/holdfast-gateway/holdfast => ../
