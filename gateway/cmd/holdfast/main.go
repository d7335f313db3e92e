// Holdfast keeps AI features up when model providers are not.
package main

import (
	"context"
	"os"

	"github.com/holdfast-gateway/holdfast/gateway/cli"
)

// version is set when the binary is linked.
var version = "dev"

func main() {
	os.Exit(cli.Main(context.Background(), os.Args[1:], os.Stdout, os.Stderr, version))
}
