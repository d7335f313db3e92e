package conformance

import (
	"encoding/json"
	"fmt"
)

// parting says where two results part, for a failure that can be read.
func parting(got, want any) string {
	a, errA := json.Marshal(got)
	b, errB := json.Marshal(want)
	if errA != nil || errB != nil {
		return fmt.Sprintf("%+v, want %+v", got, want)
	}
	at := 0
	for at < len(a) && at < len(b) && a[at] == b[at] {
		at++
	}
	around := func(b []byte) []byte { return b[max(0, at-60):min(len(b), at+120)] }
	return fmt.Sprintf("from byte %d of %d on %q, want %q", at, len(b), around(a), around(b))
}
