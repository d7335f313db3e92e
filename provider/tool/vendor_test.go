package tool_test

import (
	"testing"
	"time"

	"github.com/holdfast-gateway/holdfast/call"
	"github.com/holdfast-gateway/holdfast/provider/providertest"
	"github.com/holdfast-gateway/holdfast/provider/tool"
)

func TestAnHTTPToolPassesTheSuite(t *testing.T) {
	providertest.Run(t, tool.New(), exchanges)
}

// exchanges says what must come out of each of our own exchanges.
var exchanges = []providertest.Expect{
	{ID: "own/200-anything", Class: call.OK},
	{ID: "own/400-bad", Class: call.ClientError},
	{ID: "own/401-key", Class: call.Auth},
	{ID: "own/404-city", Class: call.ClientError},
	{ID: "own/409-state", Class: call.ClientError},
	{ID: "own/429-wait", Class: call.Throttled, Wait: 3 * time.Second},
	{ID: "own/500-fault", Class: call.ProviderFault},
	{ID: "own/501-not-there", Class: call.ClientError},
	{ID: "own/503-no-wait", Class: call.ProviderFault},
	{ID: "own/503-wait", Class: call.Overloaded, Wait: 2 * time.Second},
}
