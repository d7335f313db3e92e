package conformance

import (
	"context"
	"reflect"
	"slices"
	"testing"
)

// asking is something that is asked with an SDK's client of type C.
type asking[C any] struct {
	name string
	do   func(context.Context, C) (any, error)
}

// sameEveryWay fails unless every way gives what asking directly gives.
func sameEveryWay[C any](t *testing.T, cases []asking[C], client func(way) C) {
	ways := waysTo(t, startTape(t), clocks{})
	for _, c := range cases {
		t.Run(slug(c.name), func(t *testing.T) {
			want, err := c.do(t.Context(), client(ways[0]))
			if v := reflect.ValueOf(want); err != nil || v.Kind() == reflect.Slice && v.Len() < 2 {
				t.Fatalf("directly: %v, %v", want, err)
			}
			for _, w := range ways[1:] {
				got, err := c.do(t.Context(), client(w))
				if err != nil {
					t.Errorf("through %s: %v", w.name, err)
				} else if !reflect.DeepEqual(got, want) {
					t.Errorf("through %s: %s", w.name, parting(got, want))
				}
			}
		})
	}
}

// listsModels fails unless each way lists the models that it should: a transport
// passes the question on, a gateway answers it with what may be asked of it.
func listsModels(t *testing.T, list func(way) ([]string, error)) {
	var want []string
	for _, w := range waysTo(t, startTape(t), clocks{}) {
		names, err := list(w)
		if err != nil {
			t.Fatalf("through %s: %v", w.name, err)
		}
		if w.gateway {
			want = []string{chatModel, messageModel, embedModel}
		} else if want == nil {
			want = names
		}
		if len(names) < 3 || !slices.Equal(names, want) {
			t.Errorf("through %s: %q, want %q", w.name, names, want)
		}
	}
}
