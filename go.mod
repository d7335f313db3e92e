module github.com/holdfast-gateway/holdfast

go 1.26.6
