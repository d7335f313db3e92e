package telemetry

import "testing"

func TestALineThatComesAsItsQueueEndsIsCounted(t *testing.T) {
	q := &Queue{lines: make(chan line, 2), stop: make(chan struct{}), left: make(chan struct{})}
	q.put(line{})
	close(q.left) // between put's look at stop and the next line, the writer has come to its end
	q.put(line{})
	if n := q.Dropped(); n != 2 || len(q.lines) != 0 {
		t.Errorf("%d lines counted as lost and %d waiting for nobody, want 2 and 0", n, len(q.lines))
	}
}
