package target_test

import (
	"fmt"
	"time"

	"github.com/holdfast-gateway/holdfast/call"
	"github.com/holdfast-gateway/holdfast/target"
)

// A refused key rests and the other one is used; when that is refused too, the
// target comes last, and the last resort lets its own error reach people.
func ExamplePool() {
	pool := target.NewPool(target.Config{}, target.Options{
		Event: func(kind call.EventKind, target, key, reason string, wait time.Duration) {
			fmt.Println(kind, target, key, reason, wait)
		},
	})
	first := &call.Target{Name: "first", Model: "m", Keys: []call.Key{{Name: "one"}, {Name: "two"}}}
	second := &call.Target{Name: "second", Model: "m", Keys: []call.Key{{Name: "only"}}}
	refused := call.Outcome{Verdict: call.Verdict{Class: call.Auth, Scope: call.ScopeKey}, Status: 401}

	pool.Report(call.Upstream{Target: first, Key: &first.Keys[0], Model: "m"}, refused)
	key, _, _ := pool.Key(first, "m", "", nil)
	fmt.Println("now use", key.Name)

	pool.Report(call.Upstream{Target: first, Key: key, Model: "m"}, refused)
	for _, t := range pool.OrderFor(target.Asked{Targets: []*call.Target{first, second}}, nil) {
		fmt.Println("ask", t.Name)
	}
	fmt.Println("last resort", pool.LastResort(first, "m").Name)
	// Output:
	// key_ejected first one auth 5m0s
	// now use two
	// key_ejected first two auth 5m0s
	// ask second
	// ask first
	// last resort one
}

// Provider-side state lives with the account that made it.
func ExamplePool_Pin() {
	pool := target.NewPool(target.Config{}, target.Options{})
	pool.Pin("resp_abc", "first", "one")
	fmt.Println(pool.Pinned("resp_abc"))
	fmt.Println(pool.Pinned("resp_xyz"))
	// Output:
	// first one true
	//   false
}
