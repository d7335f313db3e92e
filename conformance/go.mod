module github.com/holdfast-gateway/holdfast/conformance

go 1.26.6

require (
	github.com/holdfast-gateway/holdfast v0.0.0
	github.com/holdfast-gateway/holdfast/gateway v0.0.0
)

replace (
	github.com/holdfast-gateway/holdfast => ../
	github.com/holdfast-gateway/holdfast/gateway => ../gateway
)
