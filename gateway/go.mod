module github.com/holdfast-gateway/holdfast/gateway

go 1.26.6

require github.com/holdfast-gateway/holdfast v0.0.0

replace github.com/holdfast-gateway/holdfast => ../
