module github.com/holdfast-gateway/holdfast/bench

go 1.26.6

require golang.org/x/sys v0.48.0

require (
	github.com/bits-and-blooms/bitset v1.24.4 // indirect
	github.com/influxdata/tdigest v0.0.1 // indirect
)

require (
	github.com/failsafe-go/failsafe-go v0.9.8
	github.com/holdfast-gateway/holdfast v0.0.0
)

replace github.com/holdfast-gateway/holdfast => ../
