package traces

import "testing"

func TestASpanThatComesAsItsPipelineEndsIsCounted(t *testing.T) {
	tracer := New(Options{})
	p := &pipeline{tracer: tracer, queue: make(chan item, 2), stop: make(chan struct{}), left: make(chan struct{})}
	p.put(item{})
	close(p.left) // between put's look at stop and the next line, run has come to its end
	p.put(item{})
	if n := tracer.Dropped(); n != 2 || len(p.queue) != 0 {
		t.Errorf("%d spans counted as lost and %d waiting for nobody, want 2 and 0", n, len(p.queue))
	}
}
