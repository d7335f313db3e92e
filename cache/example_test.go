package cache_test

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/holdfast-gateway/holdfast/cache"
)

// A fresh answer is given again; one that is not may still stand in for an error.
func ExampleStore() {
	store := cache.NewStore(cache.Config{TTL: time.Minute, StaleIfError: 24 * time.Hour})
	digest := cache.NewDigest()
	digest.Text("tenant acme")
	digest.Text(`{"model":"m","temperature":0}`)
	key := digest.Key()

	store.Put(key, &cache.Answer{Status: 200, Header: http.Header{}, Body: []byte("pong"), Made: time.Now().Add(-time.Hour)})
	a, age, fresh := store.Get(key)
	fmt.Printf("%s, %s old, fresh: %t\n", a.Body, age.Round(time.Minute), fresh)
	// Output: pong, 1h0m0s old, fresh: false
}

// Who comes while the same is under way waits for its result.
func ExampleFlights() {
	var flights cache.Flights[string]
	got, err := flights.Do(context.Background(), cache.Key{}, func(context.Context) string { return "asked once" })
	fmt.Println(got.Result, got.Led, err)
	// Output: asked once true <nil>
}
