package config

import (
	"testing"
	"time"

	"github.com/holdfast-gateway/holdfast/cache"
)

func TestARouteTakesItsCacheFromTheFile(t *testing.T) {
	f, err := load(t, "testdata/good/cache.yaml")
	if err != nil {
		t.Fatal(err)
	}
	c, err := f.Holdfast()
	if err != nil {
		t.Fatal(err)
	}
	if c, err = c.Effective(); err != nil {
		t.Fatal(err)
	}
	chat, plain := c.Routes[0].Cache, c.Routes[1].Cache
	want := cache.Config{TTL: -1, StaleIfError: 24 * time.Hour, Share: cache.On, Scope: cache.ScopeTenant, AnyTemperature: cache.On, Tools: cache.Off, Streams: cache.Off, MaxEntries: 50, MaxBytes: 16 << 20, MaxEntry: 512 << 10}
	if chat != want || !chat.Keeps() || !chat.Shares() {
		t.Errorf("got  %+v\nwant %+v", chat, want)
	}
	if plain.Keeps() || plain.Shares() || plain.TTL != 10*time.Minute {
		t.Errorf("a route that wants none: %+v", plain)
	}
}
