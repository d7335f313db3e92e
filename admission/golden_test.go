package admission_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-gateway/holdfast/admission"
)

// queueTrace is what a p-queue did; testdata/record.mjs records it. Those with an
// interval are replayed by the front door's tests, which know the rate limits.
type queueTrace struct {
	Name   string
	Config struct {
		Concurrency int
		Timeout     int64 // ms
		Interval    int64 // ms
		AutoStart   *bool
	}
	Acts []queueAct
}

// queueAct is one thing that was done to the queue. Times are in ms.
type queueAct struct {
	at                   int64
	do                   string // add, pause, start or look
	took, timeout, abort int64  // of a task; 0: none
	priority             int
	pending, size        int // afterwards: running and waiting
	task                 queueTask
}

// queueTask is what became of a task: done, timeout or aborted, or refused, which
// only we do.
type queueTask struct {
	started, ended int64 // -1: never
	how            string
}

func (a *queueAct) UnmarshalJSON(text []byte) error {
	return json.Unmarshal(text, &[]any{&a.at, &a.do, &a.took, &a.priority, &a.timeout, &a.abort, &a.pending, &a.size, &a.task.started, &a.task.ended, &a.task.how})
}

// replay does to a Door what was done to the queue. It returns what became of the
// tasks, by the place of their acts, and where running and waiting were others
// than pending and size.
func (q queueTrace) replay(c admission.Config) (tasks map[int]queueTask, otherwise []string) {
	door, began := admission.NewDoor("p-queue", c), time.Now()
	if q.Config.AutoStart != nil {
		door.Pause()
	}
	ended := make([]chan queueTask, len(q.Acts))
	for i, act := range q.Acts {
		time.Sleep(time.Duration(act.at)*time.Millisecond - time.Since(began))
		switch act.do {
		case "pause":
			door.Pause()
		case "start":
			door.Resume()
		case "add":
			if act.timeout == 0 {
				act.timeout = q.Config.Timeout
			}
			ended[i] = make(chan queueTask, 1)
			go func() { ended[i] <- act.run(door, began) }()
		}
		synctest.Wait()
		if running, waiting := count(door); running != act.pending || waiting != act.size {
			otherwise = append(otherwise, fmt.Sprintf("%dms %s: %d running, %d waiting; theirs %d pending, size %d",
				act.at, act.do, running, waiting, act.pending, act.size))
		}
	}
	tasks = map[int]queueTask{}
	for i := range ended {
		if ended[i] != nil {
			tasks[i] = <-ended[i]
		}
	}
	return tasks, otherwise
}

// run is one task: it waits at the door as long as nobody aborts it, and then runs
// as long as its own timeout allows, which begins inside.
func (a queueAct) run(door *admission.Door, began time.Time) queueTask {
	now := func() int64 { return time.Since(began).Milliseconds() }
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	if a.abort > 0 {
		defer time.AfterFunc(time.Duration(a.abort-a.at)*time.Millisecond, cancel).Stop()
	}
	place, err := door.Enter(ctx, admission.Ticket{Class: admission.ClassOf(a.priority)})
	switch {
	case ctx.Err() != nil:
		return queueTask{-1, now(), "aborted"}
	case err != nil:
		return queueTask{-1, now(), "refused"}
	}
	defer place.Leave()
	started := now()
	clock := ctx
	if a.timeout > 0 {
		var stop context.CancelFunc
		clock, stop = context.WithTimeout(ctx, time.Duration(a.timeout)*time.Millisecond)
		defer stop()
	}
	select {
	case <-time.After(time.Duration(a.took) * time.Millisecond):
		return queueTask{started, now(), "done"}
	case <-clock.Done():
		if ctx.Err() != nil {
			return queueTask{started, now(), "aborted"}
		}
		return queueTask{started, now(), "timeout"}
	}
}

// patient waits as p-queue does, which has no bounds.
func (q queueTrace) patient() admission.Config {
	return admission.Config{Running: q.Config.Concurrency, MaxWait: 24 * time.Hour, MaxDepth: 1_000_000}
}

func TestRoomsLetInWhomPQueueDid(t *testing.T) {
	r := readQueues(t)
	if len(r.Traces) < 60 {
		t.Fatalf("%d traces", len(r.Traces))
	}
	for _, trace := range r.Traces {
		t.Run(trace.Name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tasks, otherwise := trace.replay(trace.patient())
				for i, act := range trace.Acts {
					if act.do == "add" && tasks[i] != act.task {
						t.Errorf("%+v: task %d: ours %+v, theirs %+v", trace.Config, i, tasks[i], act.task)
					}
				}
				for _, problem := range otherwise {
					t.Error(problem)
				}
			})
		})
	}
}

// Each difference is meant; docs/how-to/migrate.md says why.
func TestRoomsDifferFromPQueueWhereTheyMeanTo(t *testing.T) {
	meant := map[string]struct {
		wait  time.Duration
		depth int
		want  func(q queueTrace, tasks map[int]queueTask) error
	}{
		"a lower priority waits until no higher one is left":          {24 * time.Hour, 100, turnsOfLowerClasses},
		"what was added first goes first, however long it has waited": {3500 * time.Millisecond, 100, waitsAreBounded},
		"everybody begins at once after a pause":                      {24 * time.Hour, 100, resumesInSteps},
		"a guard of pending > 50 never refuses":                       {24 * time.Hour, 50, linesAreBounded},
	}
	explained := 0
	for _, trace := range readQueues(t).Differences {
		if trace.Config.Interval > 0 {
			continue
		}
		explained++
		t.Run(trace.Name, func(t *testing.T) {
			m, known := meant[trace.Name]
			if !known {
				t.Fatal("recorded and not explained")
			}
			synctest.Test(t, func(t *testing.T) {
				tasks, _ := trace.replay(admission.Config{Running: trace.Config.Concurrency, MaxWait: m.wait, MaxDepth: m.depth})
				if err := m.want(trace, tasks); err != nil {
					t.Error(err)
				}
			})
		})
	}
	if explained != len(meant) {
		t.Errorf("%d differences recorded, %d explained", explained, len(meant))
	}
}

// turnsOfLowerClasses: one of ten that go in from the line is normal, however many
// critical ones wait.
func turnsOfLowerClasses(q queueTrace, tasks map[int]queueTask) error {
	last := len(q.Acts) - 1 // the only normal one that waits
	if theirs, ours := q.Acts[last].task.started, tasks[last].started; theirs != 260 || ours != 120 {
		return fmt.Errorf("the normal task starts after %dms, theirs after %dms; want 120 and 260", ours, theirs)
	}
	return nil
}

// waitsAreBounded: p-queue lets the last of 30 tasks of a second wait for 29; who
// may wait 3.5 s is refused then.
func waitsAreBounded(q queueTrace, tasks map[int]queueTask) error {
	starts := map[int]int64{}
	for i, task := range tasks {
		if task.how == "done" {
			starts[i] = task.started
		} else if task.how != "refused" || task.ended != 3500 {
			return fmt.Errorf("task %d: %+v, want refused after 3.5s", i, task)
		}
	}
	if want := map[int]int64{0: 0, 1: 1000, 2: 2000, 3: 3000}; !maps.Equal(starts, want) {
		return fmt.Errorf("started %v, want %v", starts, want)
	}
	return nil
}

// resumesInSteps: after a pause eight go in each millisecond, not twenty at once.
func resumesInSteps(_ queueTrace, tasks map[int]queueTask) error {
	starts := map[int64]int{}
	for _, task := range tasks {
		starts[task.started]++
	}
	if want := map[int64]int{100: 8, 101: 8, 102: 4}; !maps.Equal(starts, want) {
		return fmt.Errorf("started %v, want %v", starts, want)
	}
	return nil
}

// linesAreBounded: max: 50 refuses what `if (queue.pending > 50)` was meant to and
// never did, pending being the four that run.
func linesAreBounded(q queueTrace, tasks map[int]queueTask) error {
	refused := 0
	for i, act := range q.Acts {
		if act.pending > 4 {
			return fmt.Errorf("recorded with %d pending", act.pending)
		}
		if act.do == "add" && (tasks[i].how == "refused") != (i >= 54) {
			return fmt.Errorf("task %d: %+v; want 4 running, 50 waiting and the others refused", i, tasks[i])
		}
		if tasks[i].how == "refused" {
			refused++
		}
	}
	if refused != 66 {
		return fmt.Errorf("%d refused, want 66", refused)
	}
	return nil
}

func readQueues(t *testing.T) (r struct{ Traces, Differences []queueTrace }) {
	t.Helper()
	text, err := os.ReadFile("testdata/p-queue.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &r); err != nil {
		t.Fatal(err)
	}
	return r
}
