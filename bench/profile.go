package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"
)

// profile writes where Holdfast's CPU time goes under the two loads of the quick
// run, and what lives on its heap while 1,000 streams are open: it asks the
// profiler at the operators' address while the load runs.
func (b *bench) profile(ctx context.Context) error {
	started, err := b.startAll([]string{holdfast})
	if err != nil {
		return err
	}
	defer stopAll(started)
	hf := started[holdfast]
	if err := b.profileMemory(ctx, hf); err != nil {
		return err
	}
	length := time.Duration(b.profileSeconds) * time.Second
	for _, u := range []struct {
		file  string
		phase func(*load)
	}{
		{b.profileFile + "-requests.prof", closedLoop(64)},
		{b.profileFile + "-events.prof", liveStreams(200, livePlan)},
	} {
		fetched := make(chan error, 1)
		go func() {
			time.Sleep(b.warm)
			fetched <- fetch(ctx, fmt.Sprintf("http://%s/debug/pprof/profile?seconds=%d", hf.admin, b.profileSeconds), u.file)
		}()
		t, err := measure(ctx, hf.subject, b.warm, length+500*time.Millisecond, u.phase)
		if err != nil {
			return err
		}
		if err := <-fetched; err != nil {
			return err
		}
		b.say("%s: %.1f us of CPU each, profiler included; go tool pprof -top %s", u.file, perUnit(t), u.file)
	}
	return nil
}

func (b *bench) profileMemory(ctx context.Context, hf *running) error {
	crowd := &crowd{subject: hf.subject, request: chatRequest(hf.addr, hf.headers, &openPlan)}
	defer crowd.leave()
	if err := crowd.growTo(ctx, 1000); err != nil {
		return err
	}
	file := b.profileFile + "-memory.prof"
	if err := fetch(ctx, fmt.Sprintf("http://%s/debug/pprof/heap?gc=1", hf.admin), file); err != nil {
		return err
	}
	b.say("%s: 1,000 streams open; go tool pprof -top -sample_index=inuse_space %s", file, file)
	return nil
}

// fetch stores what an address answers.
func fetch(ctx context.Context, url, file string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", url, resp.Status)
	}
	out, err := os.Create(file)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, resp.Body)
	return errors.Join(err, out.Close())
}
