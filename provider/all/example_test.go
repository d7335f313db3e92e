package all_test

import (
	"fmt"

	"github.com/holdfast-gateway/holdfast/provider"
	"github.com/holdfast-gateway/holdfast/provider/all"
)

// The status alone says "wait and try again". The code says that waiting never
// helps.
func ExampleByHost() {
	v := all.ByHost("api.openai.com")
	verdict := v.Classify(provider.Evidence{
		Status: 429,
		Body:   []byte(`{"error":{"type":"insufficient_quota","code":"credit_balance_exhausted"}}`),
	})
	fmt.Println(v.Name, verdict.Class, verdict.Code, verdict.Scope)
	// Output: openai quota_exhausted credit_balance_exhausted key
}
